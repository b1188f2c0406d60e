"""Beam search: keep the likeliest beginnings, not only the likeliest next token.

Source: Graves 2012 for the search; Wu et al. 2016, section 7, for the division by length. The rules for what counts as
finished are those of the transformers library, so that its results come out token for token.
Shapes: B prompts, K beams, L new tokens at most, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lmlib.decoding.session import Prompts, Session, checked_prompts
from lmlib.decoding.stopping import Continuation, Ending, Stop
from lmlib.models.base import NOT_NUMBERS


@dataclass
class Beams:
    """Beginnings of continuations and the sums of their log-probabilities; minus infinity marks a free place."""

    tokens: Tensor  # (B, K, L)
    log_probs: Tensor  # (B, K, L) of each token
    scores: Tensor  # (B, K)
    lengths: Tensor  # (B, K)

    @classmethod
    def free(cls, batch: int, n_beams: int, most: int, device: torch.device) -> "Beams":
        """No beginning yet."""
        shape = (batch, n_beams, most)
        return cls(
            torch.zeros(shape, dtype=torch.long, device=device),
            torch.zeros(shape, device=device),
            torch.full(shape[:2], -math.inf, device=device),
            torch.zeros(shape[:2], dtype=torch.long, device=device),
        )

    def select(self, places: Tensor) -> "Beams":
        """Those at places (B, any) of the second axis."""
        wide = places[..., None].expand(-1, -1, self.tokens.size(2))
        return Beams(
            self.tokens.gather(1, wide),
            self.log_probs.gather(1, wide),
            self.scores.gather(1, places),
            self.lengths.gather(1, places),
        )

    def join(self, other: "Beams") -> "Beams":
        """These and the others, side by side."""
        parts = zip(vars(self).values(), vars(other).values(), strict=True)
        return Beams(*(torch.cat(pair, dim=1) for pair in parts))

    def best(self, n: int) -> "Beams":
        """The n with the highest scores."""
        return self.select(self.scores.topk(n).indices)


@torch.inference_mode()
def beam_search(
    model: Any,
    prompts: Prompts,
    max_new_tokens: int,
    *,
    n_beams: int = 4,
    n: int = 1,
    length_penalty: float = 1.0,
    early_stopping: bool | Literal["never"] = False,
    stop: Stop | None = None,
) -> list[Continuation]:
    """The `n` best of `n_beams` continuations of every prompt, best first; prompts one after the other in the result.

    A score is the sum of log-probabilities divided by length ** length_penalty: above 0 it favours long ones.
    early_stopping: True ends a prompt as soon as n_beams have finished; False when the best open one, as long as it is
    now, could not enter; "never" when it could not enter at any length. Raises ValueError that says what does not fit.
    """
    if n_beams < 1 or not 1 <= n <= n_beams:
        raise ValueError(f"n_beams must be 1 or more, and n between 1 and n_beams; got n_beams={n_beams}, n={n}")
    if early_stopping not in (True, False, "never"):
        raise ValueError(f'early_stopping must be True, False or "never"; got {early_stopping!r}')
    stop = stop or Stop()
    rows = checked_prompts(model, prompts, max_new_tokens)
    search = BeamSearch(model, rows, max_new_tokens, n_beams, length_penalty, early_stopping, stop)
    while search.is_open:
        search.step()
    return [
        _continuation(search.done, prompt, place, search.ending)
        for prompt in range(len(rows))
        for place in range(n)
        if search.done.scores[prompt, place].isfinite()  # a tiny vocabulary may not give n different ones
    ]


class BeamSearch:
    """The search of one batch; `step` makes every open beginning one token longer."""

    def __init__(
        self,
        model: Any,
        rows: list[list[int]],
        max_new_tokens: int,
        n_beams: int,
        length_penalty: float,
        early_stopping: bool | Literal["never"],
        stop: Stop,
    ):
        self.n_beams, self.max_new_tokens = n_beams, max_new_tokens
        self.length_penalty, self.early_stopping = length_penalty, early_stopping
        self.ending = stop.after(model, max_new_tokens)
        self.session = Session.start(model, rows, max_new_tokens)
        self.session.repeat(n_beams)
        device = self.session.scores.device
        self.first_row = torch.arange(len(rows), device=device)[:, None] * n_beams  # (B, 1)
        self.open = Beams.free(len(rows), n_beams, max_new_tokens, device)
        self.open.scores[:, 0] = 0.0  # one empty beginning; its copies would only repeat it
        self.done = Beams.free(len(rows), n_beams, max_new_tokens, device)
        self.can_improve = torch.ones(len(rows), 1, dtype=torch.bool, device=device)
        self.length = 0
        self.is_open = True

    def step(self) -> None:
        """Look at the likeliest next tokens of all beginnings; some finish, the best others go on."""
        candidates, parents = self._candidates()
        ended = self._ended(candidates)  # (B, n candidates)
        self._finish(candidates, ended)
        candidates.scores = candidates.scores.masked_fill(ended, -math.inf)
        places = candidates.scores.topk(self.n_beams).indices  # (B, K)
        self.open = candidates.select(places)
        self.can_improve &= self._could_enter()
        full = bool(self.done.scores.isfinite().all()) and self.early_stopping is True
        self.is_open = bool(self.can_improve.any()) and not full and not bool(ended.all())
        if self.is_open:
            self.session.reorder((self.first_row + parents.gather(1, places)).flatten())
            self.session.feed(self.open.tokens[:, :, self.length - 1].reshape(-1, 1))

    def _candidates(self) -> tuple[Beams, Tensor]:
        """The likeliest longer beginnings and their parents: enough that K go on if all stop tokens are among them."""
        log_probs = self.session.scores.log_softmax(-1).unflatten(0, (-1, self.n_beams))  # (B, K, V)
        if log_probs.isnan().any():
            raise ValueError(NOT_NUMBERS)
        n_candidates = min(max(2, 1 + len(self.ending.token_ids)) * self.n_beams, log_probs[0].numel())
        totals = (log_probs + self.open.scores[..., None]).flatten(1)  # (B, K·V)
        scores, places = totals.topk(n_candidates)
        parents, tokens = places // log_probs.size(-1), places % log_probs.size(-1)
        candidates = self.open.select(parents)
        candidates.tokens[:, :, self.length] = tokens
        candidates.log_probs[:, :, self.length] = log_probs.flatten(1).gather(1, places)
        candidates.scores = scores
        self.length += 1
        candidates.lengths.fill_(self.length)
        return candidates, parents

    def _ended(self, candidates: Beams) -> Tensor:
        if self.length == self.max_new_tokens:
            return torch.ones_like(candidates.scores, dtype=torch.bool)
        newest = candidates.tokens[:, :, self.length - 1]
        ended = torch.isin(newest, torch.tensor(sorted(self.ending.token_ids), dtype=torch.long, device=newest.device))
        if self.ending.stop.strings:
            texts = candidates.tokens[:, :, : self.length].flatten(0, 1).tolist()
            found = [self.ending.stop.first_string(tokens) is not None for tokens in texts]
            ended |= torch.tensor(found, device=newest.device).view_as(ended)
        return ended

    def _finish(self, candidates: Beams, ended: Tensor) -> None:
        """Put candidates that ended among the finished ones: of the K likeliest only, and where it still matters."""
        accepts = self.can_improve
        if self.early_stopping is True:
            accepts = accepts & ~self.done.scores.isfinite().all(1, keepdim=True)
        counts = ended & accepts
        counts[:, self.n_beams :] = False
        finished = candidates.select(torch.arange(ended.size(1), device=ended.device).expand_as(ended))
        finished.scores = (finished.scores / self.length**self.length_penalty).masked_fill(~counts, -math.inf)
        self.done = self.done.join(finished).best(self.n_beams)

    def _could_enter(self) -> Tensor:
        """(B, 1): whether the best open beginning could still be better than the worst finished one."""
        favours_long = self.early_stopping == "never" and self.length_penalty > 0
        length = self.max_new_tokens if favours_long else self.length
        best = self.open.scores[:, :1] / length**self.length_penalty
        return best > self.done.scores.amin(1, keepdim=True)


def _continuation(done: Beams, prompt: int, place: int, ending: Ending) -> Continuation:
    length = int(done.lengths[prompt, place])
    tokens = done.tokens[prompt, place, :length].tolist()
    log_probs = done.log_probs[prompt, place, :length].tolist()
    written = Continuation(prompt, tokens, log_probs, float(done.scores[prompt, place]))
    written.end(ending.why(tokens), ending.stop)
    return written
