"""What heads do on a random sequence that comes twice: look back one place, find the same token, or continue it.

An induction head at the second copy of a token looks at what followed the first copy, and so predicts the text again
without ever having learned it. Source: Elhage et al. 2021; Olsson et al. 2022 (argument 4 and the appendix on scores).
Shapes: B rows, P tokens that come twice, T = 2 P (+ 1), L layers, H heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.evaluation.language_models import token_logits
from lmlib.interpret.attention_maps import attention_maps, require_eval


@dataclass(frozen=True)
class HeadScores:
    """The mean weight, from 0 to 1, that each head puts on one place; (L, H) each."""

    induction: Tensor  # the token after the first copy of this one
    previous: Tensor  # the token just before
    duplicate: Tensor  # the first copy of this token


def repeated_sequences(
    n_rows: int, period: int, vocab_size: int, *, start_id: int | None = None, seed: int = 0
) -> Tensor:
    """(B, T) ids: `period` random tokens, twice; `start_id` stands before them and is not among them.

    Within a row no token comes twice before the repetition, so that where to look is not in doubt.
    """
    choices = [token for token in range(vocab_size) if token != start_id]
    if not 2 <= period <= len(choices):
        raise ValueError(f"period must lie in 2..{len(choices)}, for its tokens differ; got {period}")
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.tensor(choices)[torch.randperm(len(choices), generator=generator)[:period]] for _ in range(n_rows)]
    once = torch.stack(rows)  # (B, P)
    start = once.new_full((n_rows, 0 if start_id is None else 1), 0 if start_id is None else start_id)
    return torch.cat([start, once, once], dim=1)


def head_scores(model: nn.Module, input_ids: Tensor, period: int) -> HeadScores:
    """The three scores of every head of a decoder-only model, means over the second copy in `repeated_sequences`."""
    check_repeated(input_ids, period)
    maps = attention_maps(model, input_ids=input_ids)["self"].float().mean(1)  # (L, H, T, T)
    queries = torch.arange(input_ids.size(1) - period, input_ids.size(1), device=maps.device)

    def mean_weight(distance: int) -> Tensor:
        return maps[:, :, queries, queries - distance].mean(-1).cpu()

    return HeadScores(mean_weight(period - 1), mean_weight(1), mean_weight(period))


@torch.inference_mode()
def losses_of_copies(model: nn.Module, input_ids: Tensor, period: int) -> tuple[float, float]:
    """The mean loss in nats on the first and on the second copy, each without its first token.

    The first token of a copy is left out: what it is cannot be known, in the second copy either.
    """
    require_eval(model)
    check_repeated(input_ids, period)
    logits = token_logits(model, input_ids)[:, :-1].float()  # (B, T - 1, V) predict the tokens from 1 on
    losses = F.cross_entropy(logits.transpose(1, 2), input_ids[:, 1:], reduction="none")  # (B, T - 1)
    second = losses[:, -(period - 1) :]
    first = losses[:, -(2 * period - 1) : -period]
    return float(first.mean()), float(second.mean())


def check_repeated(input_ids: Tensor, period: int) -> None:
    """Raise ValueError unless the last `period` tokens of each row repeat the ones before."""
    if period < 2 or input_ids.dim() != 2 or input_ids.size(1) < 2 * period:
        raise ValueError(
            f"input_ids (B, 2 · period or longer) and a period of at least 2 are needed; "
            f"got {tuple(input_ids.shape)} and {period}"
        )
    if not torch.equal(input_ids[:, -period:], input_ids[:, -2 * period : -period]):
        raise ValueError(f"the last {period} tokens of each row must repeat the {period} before; these do not")
