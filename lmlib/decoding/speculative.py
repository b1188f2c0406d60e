"""Speculative decoding: a small model drafts some tokens, the large one checks them all in one pass.

What comes out has exactly the distribution of the large model. Source: Leviathan et al. 2023, algorithm 1; Chen et al.
2023. Shapes: R rows, G drafted tokens, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmlib.decoding.sampling import Sampling, draw, generator_for
from lmlib.decoding.session import Prompts, Session, checked_prompts, is_encoder_decoder
from lmlib.decoding.stopping import Continuation, Stop


@dataclass
class Tally:
    """How many drafted tokens the large model took, and how often it ran."""

    drafted: int = 0
    accepted: int = 0
    passes: int = 0


@torch.inference_mode()
def speculative(
    model: Any,
    draft: Any,
    prompts: Prompts,
    max_new_tokens: int,
    *,
    n_draft: int = 4,
    sampling: Sampling | None = None,
    stop: Stop | None = None,
    seed: int | None = None,
    tally: Tally | None = None,
) -> list[Continuation]:
    """Continue every prompt, one prompt after the other, as `generate` with `model` does: `draft` only saves time.

    `n_draft` tokens are drafted at a time. Without `sampling` the result equals greedy decoding. `tally` is filled
    with what was drafted and accepted. Raises ValueError that says what does not fit.
    """
    if model.config.vocab_size != draft.config.vocab_size:
        raise ValueError(
            f"both models must have one vocabulary; the large one has {model.config.vocab_size} tokens, "
            f"the draft {draft.config.vocab_size}"
        )
    if n_draft < 1:
        raise ValueError(f"n_draft must be 1 or more; got {n_draft}")
    rows = checked_prompts(model, prompts, max_new_tokens)
    checked_prompts(draft, prompts, max_new_tokens)
    ending = (stop or Stop()).after(model, max_new_tokens)
    generator = generator_for(seed, next(model.parameters()).device)
    written = [Continuation(i) for i in range(len(rows))]
    for prompt, row in zip(rows, written, strict=True):
        pair = _Pair(model, draft, prompt, max_new_tokens, sampling, generator, tally or Tally())
        while row.stopped_by is None:
            for token, log_prob in pair.round(min(n_draft, max_new_tokens - len(row.tokens) - 1)):
                row.add(token, log_prob)
                row.end(ending.why(row.tokens), ending.stop)
                if row.stopped_by is not None:
                    break
    return written


class _Pair:
    """Both models over one text. Each has read all of it but its last tokens, which it reads in the next round."""

    def __init__(
        self,
        model: Any,
        draft: Any,
        prompt: list[int],
        max_new_tokens: int,
        sampling: Sampling | None,
        generator: torch.Generator | None,
        tally: Tally,
    ):
        self.large = Session.start(model, [prompt], max_new_tokens)
        self.small = Session.start(draft, [prompt], max_new_tokens)
        self.text = [model.config.decoder_start_token_id] if is_encoder_decoder(model) else list(prompt)
        self._crop()
        self.sampling, self.generator, self.tally = sampling, generator, tally

    def round(self, n_draft: int) -> list[tuple[int, float]]:
        """Draft `n_draft` tokens, check them; returns the accepted and one more, with their log-probabilities."""
        tokens, chances = self._draft(n_draft)  # (1, G), (1, G, V)
        unread = torch.cat([self._unread(self.large), tokens], dim=1)
        scores = self.large.feed(unread, all_scores=True)[:, -n_draft - 1 :]  # (1, G + 1, V)
        n_accepted, last = accept(tokens, chances, self._probabilities(scores), self.generator)
        n = int(n_accepted)
        self.tally.drafted += n_draft
        self.tally.accepted += n
        self.tally.passes += 1
        new = torch.cat([tokens[:, :n], last[:, None]], dim=1)  # (1, n + 1)
        log_probs = scores[:, : n + 1].log_softmax(-1).gather(2, new[..., None])[0, :, 0]
        self.text += new[0].tolist()
        self._crop()
        return list(zip(new[0].tolist(), log_probs.tolist(), strict=True))

    def _draft(self, n_draft: int) -> tuple[Tensor, Tensor]:
        """The drafted tokens (1, G), and the distribution (1, G, V) that each was drawn from."""
        tokens = torch.empty(1, 0, dtype=torch.long, device=self.small.scores.device)
        chances = [self.small.scores[:, None][:, :0]]
        unread = self._unread(self.small)
        for _ in range(n_draft):
            probabilities = self._probabilities(self.small.feed(unread))  # (1, V)
            unread = draw(probabilities, self.generator)[:, None]  # (1, 1)
            tokens = torch.cat([tokens, unread], dim=1)
            chances.append(probabilities[:, None])
        return tokens, torch.cat(chances, dim=1)

    def _unread(self, session: Session) -> Tensor:
        """(1, T) the end of the text that this model has not read yet."""
        return torch.tensor([self.text[session.cache.length :]], device=session.scores.device)

    def _crop(self) -> None:
        """Forget refused tokens, and the last one of the text, after which the next round needs the scores."""
        for session in (self.large, self.small):
            session.crop(len(self.text) - 1)

    def _probabilities(self, scores: Tensor) -> Tensor:
        """The distribution to draw from: all on the likeliest token when nothing is to be drawn."""
        if self.sampling is not None:
            return self.sampling.probabilities(scores)
        return torch.zeros_like(scores).scatter(-1, scores.argmax(-1, keepdim=True), 1.0)


def accept(
    tokens: Tensor, drafted: Tensor, wanted: Tensor, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """How many drafted tokens stand, (R,), and the token that follows them, (R,).

    tokens (R, G) were drawn from drafted (R, G, V); wanted (R, G + 1, V) is the distribution that is asked for. A token
    stands with chance wanted / drafted; the first that falls is drawn anew from what wanted has more than drafted.
    """
    asked = wanted[:, :-1].gather(2, tokens[..., None])[..., 0]  # (R, G)
    offered = drafted.gather(2, tokens[..., None])[..., 0]
    chance = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    stands = (chance * offered < asked).long().cumprod(1)  # (R, G): 1 until the first that falls
    n_accepted = stands.sum(1)  # (R,)
    rows = torch.arange(len(tokens), device=tokens.device)
    nothing = torch.zeros_like(wanted[:, :1])  # after the last token nothing was drafted, so all of wanted is left
    offer = torch.cat([drafted, nothing], dim=1)[rows, n_accepted]  # (R, V)
    left = (wanted[rows, n_accepted] - offer).clamp(min=0)
    rounded_away = left.sum(-1, keepdim=True) == 0
    return n_accepted, draw(torch.where(rounded_away, wanted[rows, n_accepted], left), generator)
