"""Writing token by token: greedy or drawn, for a batch of prompts, at once or as a stream.

Shapes: R rows (n for each prompt), V vocabulary.
"""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from lmlib.decoding.compiled import CompiledSteps
from lmlib.decoding.sampling import Sampling, draw, generator_for, repetition_penalty
from lmlib.decoding.session import Prompts, Session, checked_prompts, is_encoder_decoder
from lmlib.decoding.stopping import Continuation, Stop


class Constraint(Protocol):
    """A rule for what may be written, as an automaton over tokens; states are hashable."""

    def start(self) -> Hashable:
        """The state before the first token."""

    def allowed(self, state: Any) -> Sequence[int]:
        """The tokens that may come next."""

    def advance(self, state: Any, token: int) -> Hashable:
        """The state after an allowed token."""

    def complete(self, state: Any) -> bool:
        """Whether what is written so far may stand as it is."""


def generate(
    model: Any,
    prompts: Prompts,
    max_new_tokens: int,
    *,
    sampling: Sampling | None = None,
    penalty: float = 1.0,
    constraint: Constraint | None = None,
    n: int = 1,
    stop: Stop | None = None,
    seed: int | None = None,
    compiled: bool = False,
) -> list[Continuation]:
    """Continue every prompt, `n` times each; the first n of the result belong to the first prompt, and so on.

    prompts: lists of token ids, of any lengths (for an encoder-decoder: the sources). Without `sampling` the most
    likely token is taken each time. `penalty` above 1 makes repetition less likely. With a seed the draw is the same
    every time. `compiled` runs the steps through torch.compile: slow to begin, faster after. Raises ValueError that
    says what does not fit.
    """
    run = Run(model, prompts, max_new_tokens, sampling, penalty, constraint, n, stop or Stop(), seed, compiled)
    while run.is_open:
        run.step()
    return run.continuations


def stream(
    model: Any,
    prompts: Prompts,
    max_new_tokens: int,
    *,
    sampling: Sampling | None = None,
    penalty: float = 1.0,
    constraint: Constraint | None = None,
    n: int = 1,
    stop: Stop | None = None,
    seed: int | None = None,
    compiled: bool = False,
) -> Iterator[list[int | None]]:
    """As `generate`, but gives the new token of every row as soon as it is there; None for a row that has ended."""
    run = Run(model, prompts, max_new_tokens, sampling, penalty, constraint, n, stop or Stop(), seed, compiled)
    return iter(run)


class Run:
    """One batch being written; `step` adds one token to every row that is open."""

    def __init__(
        self,
        model: Any,
        prompts: Prompts,
        max_new_tokens: int,
        sampling: Sampling | None,
        penalty: float,
        constraint: Constraint | None,
        n: int,
        stop: Stop,
        seed: int | None,
        compiled: bool,
    ):
        if n < 1 or (n > 1 and sampling is None):
            raise ValueError(f"n={n}: one or more continuations a prompt, and more than one only with sampling=")
        if not 0 < penalty < math.inf:
            raise ValueError(f"penalty must be above 0, and 1 for none; got {penalty}")
        rows = checked_prompts(model, prompts, max_new_tokens)
        self.ending = stop.after(model, max_new_tokens)
        self.sampling, self.penalty, self.constraint = sampling, penalty, constraint
        session = Session.start(model, rows, max_new_tokens)
        session.repeat(n)
        self.session: Session | CompiledSteps = CompiledSteps(session) if compiled else session
        self.continuations = [Continuation(i) for i in range(len(rows)) for _ in range(n)]
        self.open = set(range(len(self.continuations)))
        self.generator = generator_for(seed, self.session.scores.device)
        self.seen = self._seen(model, rows, n) if penalty != 1 else None
        self.states: list[Any] = [constraint.start() if constraint else None] * len(self.continuations)
        self.masks: dict[Any, Tensor] = {}  # state of the constraint → (V,) bool

    @property
    def is_open(self) -> bool:
        """Whether a row still goes on."""
        return bool(self.open)

    def __iter__(self) -> Iterator[list[int | None]]:
        while self.is_open:
            yield self.step()

    @torch.inference_mode()
    def step(self) -> list[int | None]:
        """Choose the next token of every row and feed it; returns them, None for rows that had ended."""
        scores = self._shaped(self.session.scores)
        if self.sampling is None:
            chosen = scores.argmax(-1)  # (R,)
        else:
            chosen = draw(self.sampling.probabilities(scores), self.generator)
        if self.seen is not None:
            self.seen.scatter_(1, chosen[:, None], True)
        raw = self.session.scores  # before penalty and constraint
        read = read_later(chosen, raw.gather(1, chosen[:, None])[:, 0] - raw.logsumexp(-1))
        goes_ahead = chosen.is_cuda and isinstance(self.session, CompiledSteps)
        if goes_ahead:  # the GPU computes the next scores, needed or not, while this program looks at the tokens
            self.session.feed(chosen[:, None])
        tokens, log_probs = read()
        was_open = self.open.copy()
        for row in was_open:
            self._add(row, tokens[row], log_probs[row])
        if self.open and not goes_ahead:
            self.session.feed(chosen[:, None])
        return [token if row in was_open else None for row, token in enumerate(tokens)]

    def _add(self, row: int, token: int, log_prob: float) -> None:
        written = self.continuations[row]
        written.add(token, log_prob)
        why = self.ending.why(written.tokens)
        if self.constraint is not None and why != "token":
            state = self.states[row] = self.constraint.advance(self.states[row], token)
            ends = self.constraint.complete(state) and not (self.ending.token_ids and self.constraint.allowed(state))
            if ends and why != "string":  # a stop string is cut from the text
                why = "constraint"
        if why is not None:
            written.end(why, self.ending.stop)
            self.open.discard(row)

    def _shaped(self, scores: Tensor) -> Tensor:
        """The scores after the repetition penalty and the constraint."""
        if self.seen is not None:
            scores = repetition_penalty(scores, self.seen, self.penalty)
        if self.constraint is not None:
            masks = [self._mask(row, scores) for row in range(len(scores))]
            scores = scores.masked_fill(~torch.stack(masks), -math.inf)
        return scores

    def _mask(self, row: int, scores: Tensor) -> Tensor:
        """(V,) bool: what the constraint lets row write next; a row that has ended may write anything."""
        if row not in self.open or self.constraint is None:
            return torch.ones_like(scores[0], dtype=torch.bool)
        state = self.states[row]
        if state not in self.masks:
            ids = list(self.constraint.allowed(state))
            if self.constraint.complete(state):
                ids += self.ending.token_ids
            if not ids:
                raise ValueError(
                    f"no token of the vocabulary goes on from what is written, {self.continuations[row].tokens}, "
                    "and the constraint is not complete yet"
                )
            if max(ids) >= len(scores[0]):
                raise ValueError(f"the constraint asks for token {max(ids)}; the model has {len(scores[0])} tokens")
            mask = torch.zeros_like(scores[0], dtype=torch.bool)
            mask[torch.tensor(ids, device=scores.device)] = True
            self.masks[state] = mask
        return self.masks[state]

    @staticmethod
    def _seen(model: Any, rows: list[list[int]], n: int) -> Tensor:
        """(R, V) bool: the tokens of each prompt; of an encoder-decoder, only the start token of what it writes."""
        device = next(model.parameters()).device
        seen = torch.zeros(len(rows) * n, model.config.vocab_size, dtype=torch.bool, device=device)
        for i, row in enumerate(rows):
            start = [model.config.decoder_start_token_id] if is_encoder_decoder(model) else row
            seen[i * n : (i + 1) * n, torch.tensor(start, device=device)] = True
        return seen


def read_later(*tensors: Tensor) -> Callable[[], list[list[Any]]]:
    """Start to copy from the device; the call returns lists, and waits for no work that the device gets after this."""
    copies = [tensor.to("cpu", non_blocking=True) for tensor in tensors]
    copied = torch.cuda.Event() if tensors[0].is_cuda else None
    if copied is not None:
        copied.record()

    def read() -> list[list[Any]]:
        if copied is not None:
            copied.synchronize()
        return [copy.tolist() for copy in copies]

    return read
