"""Contrastive search: among likely tokens, the one whose state is least like those before.

Source: Su et al. 2022, equation 5. Shapes: B prompts, k candidates, L positions so far, C d_model, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lmlib.decoding.session import Prompts, Session, checked_prompts, is_encoder_decoder
from lmlib.decoding.stopping import Continuation, Stop


@torch.inference_mode()
def contrastive_search(
    model: Any,
    prompts: Prompts,
    max_new_tokens: int,
    *,
    k: int = 4,
    alpha: float = 0.6,
    stop: Stop | None = None,
) -> list[Continuation]:
    """Continue every prompt: of the `k` likeliest tokens take that with the most (1 - alpha) · probability - alpha ·
    (largest cosine of its state with an earlier one). Alpha 0 is greedy. For decoder-only models.

    Raises ValueError that says what does not fit.
    """
    rows = checked_prompts(model, prompts, max_new_tokens)
    if is_encoder_decoder(model):
        raise ValueError("contrastive search compares a text with its own beginning: take a decoder-only model")
    if not 1 <= k <= model.config.vocab_size or not 0 <= alpha <= 1:
        raise ValueError(f"k must lie in 1..{model.config.vocab_size} and alpha in 0..1; got k={k}, alpha={alpha}")
    ending = (stop or Stop()).after(model, max_new_tokens)
    session = Session.start(model, rows, max_new_tokens)
    seen = F.normalize(session.states.float(), dim=-1)  # (B, L, C)
    real = torch.ones(seen.shape[:2], dtype=torch.bool) if session.real is None else session.real[:, : seen.size(1)]
    real = real.to(seen.device)
    session.repeat(k)
    written = [Continuation(i) for i in range(len(rows))]
    while True:
        log_probs = session.scores[::k].log_softmax(-1)  # (B, V): the k rows of a prompt are equal here
        likely = log_probs.topk(k)  # (B, k)
        session.feed(likely.indices.reshape(-1, 1))
        states = F.normalize(session.states[:, -1].float(), dim=-1).unflatten(0, (-1, k))  # (B, k, C)
        best = _least_alike(likely.values.exp(), states, seen, real, alpha)  # (B,)
        tokens, chances = likely.indices.gather(1, best[:, None]), likely.values.gather(1, best[:, None])
        for row, token, chance in zip(written, tokens[:, 0].tolist(), chances[:, 0].tolist(), strict=True):
            if row.stopped_by is None:
                row.add(token, chance)
                row.end(ending.why(row.tokens), ending.stop)
        if all(row.stopped_by for row in written):
            return written
        first = torch.arange(len(rows), device=best.device) * k
        session.reorder((first + best).repeat_interleave(k), shared=session.cache.length - 1)
        seen = torch.cat([seen, states.gather(1, best[:, None, None].expand(-1, 1, states.size(2)))], dim=1)
        real = torch.cat([real, real.new_ones(len(rows), 1)], dim=1)


def _least_alike(probs: Tensor, states: Tensor, seen: Tensor, real: Tensor, alpha: float) -> Tensor:
    """(B,) which candidate is best: probs (B, k), states (B, k, C) and seen (B, L, C) of length 1, real (B, L)."""
    cosines = states @ seen.transpose(1, 2)  # (B, k, L)
    alike = cosines.masked_fill(~real[:, None], -1.0).amax(-1)  # (B, k)
    return ((1 - alpha) * probs - alpha * alike).argmax(-1)
