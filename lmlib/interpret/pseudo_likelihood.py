"""How likely a masked language model finds a token, given all the others.

Source: Wang & Cho 2019; Salazar et al. 2020. Shapes: T tokens of one text, N positions, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from lmlib.evaluation.language_models import token_logits
from lmlib.interpret.attention_maps import require_eval

Encode = Callable[[str], list[int]]


def encoded(model: nn.Module, encode: Encode, text: str) -> Tensor:
    """The ids of a text, (T,), where the model's weights are."""
    weight = next(model.parameters(), torch.empty(0))
    return torch.tensor(encode(text), device=weight.device)


@torch.inference_mode()
def masked_log_probabilities(
    model: nn.Module, input_ids: Tensor, positions: Sequence[int], mask_id: int, batch_size: int = 64
) -> Tensor:
    """ln P of the token at each of these positions, masked alone while all others are seen: ids (T,) → (N,).

    Their sum over a text is its pseudo-log-likelihood. Raises ValueError for positions that the text does not have.
    """
    require_eval(model)
    if input_ids.dim() != 1 or not positions or not 0 <= min(positions) <= max(positions) < len(input_ids):
        raise ValueError(
            f"one text (T,) and positions in it are needed; got {tuple(input_ids.shape)} and {list(positions)}"
        )
    at = torch.tensor(positions, device=input_ids.device)
    scores = []
    for part in at.split(batch_size):
        rows = torch.arange(len(part), device=at.device)
        masked = input_ids.repeat(len(part), 1)  # (N, T)
        masked[rows, part] = mask_id
        log_p = token_logits(model, masked)[rows, part].float().log_softmax(-1)  # (N, V)
        scores.append(log_p[rows, input_ids[part]].cpu())
    return torch.cat(scores)
