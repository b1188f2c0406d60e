"""How well a language model predicts a text: perplexity, and bits per byte to compare across tokenizers.

Everything starts from the log probability of each token; n-gram models give theirs by `log_probabilities`.
Shapes: B windows, T tokens, V vocabulary.
"""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

BITS = 1 / math.log(2)  # bits in one natural unit of information


@torch.inference_mode()
def token_log_probabilities(
    model: Callable[..., Any],
    input_ids: Tensor,
    window: int,
    stride: int | None = None,
    *,
    start_id: int | None = None,
    batch_size: int = 8,
) -> Tensor:
    """ln P of each token of one text given those before it, each counted once: (T - 1,), or (T,) with `start_id`.

    input_ids (T,). The model, called with input_ids= and returning `.logits`, reads `window` tokens at a time, and each
    window starts `stride` after the one before (half a window if not given). So a token sees window - stride tokens or
    more, once the text has that many. `start_id` stands before the text, so that its first token is predicted too.
    """
    stride = max(1, window // 2) if stride is None else stride
    _check_window(model, input_ids, window, stride, start_id)
    if start_id is not None:
        input_ids = torch.cat([input_ids.new_tensor([start_id]), input_ids])
    inputs, targets = input_ids[:-1], input_ids[1:]
    width = min(window, len(inputs))
    starts = [*range(0, len(inputs) - width, stride), len(inputs) - width]  # the last one ends where the text ends
    scores = torch.empty(len(inputs))
    done = 0
    for at in range(0, len(starts), batch_size):
        group = starts[at : at + batch_size]
        batch = torch.stack([inputs[start : start + width] for start in group])  # (B, width)
        wanted = torch.stack([targets[start : start + width] for start in group])
        log_p = token_logits(model, batch).float().log_softmax(-1)  # (B, width, V)
        log_p = log_p.gather(-1, wanted[..., None]).squeeze(-1).cpu()
        for start, row in zip(group, log_p, strict=True):
            scores[done : start + width] = row[done - start :]
            done = start + width
    return scores


def token_logits(model: Any, input_ids: Tensor) -> Tensor:
    """The model's logits (B, T, V) for ids (B, T). Raises ValueError when it has no head that scores every position."""
    logits = model(input_ids=input_ids).logits
    if logits is None or logits.shape[:2] != input_ids.shape:
        raise ValueError(
            f"{type(model).__name__} does not score a token at each position; take a model with a language-model head"
        )
    return cast(Tensor, logits)


def _check_window(model: object, input_ids: Tensor, window: int, stride: int, start_id: int | None) -> None:
    if isinstance(model, nn.Module) and model.training:
        raise ValueError("the model is in training mode, where dropout changes every score; call model.eval() first")
    if input_ids.dim() != 1:
        raise ValueError(f"input_ids must be one text, (T,); got {tuple(input_ids.shape)}")
    if len(input_ids) < (2 if start_id is None else 1):
        raise ValueError(f"{len(input_ids)} tokens leave nothing to predict; give at least 2, or 1 with start_id=")
    if not 1 <= stride <= window:
        raise ValueError(
            f"the stride must lie in 1..window, or tokens in between are lost; got stride {stride}, window {window}"
        )


def perplexity(log_probabilities: Tensor) -> float:
    """exp(-mean ln P): as unsure as a fair choice among this many tokens. Infinite where a token had probability 0."""
    _check_log_probabilities(log_probabilities)
    mean = -log_probabilities.double().mean()
    return float(mean.exp())


def bits_per_byte(log_probabilities: Tensor, text: str) -> float:
    """Bits that the model needs for each byte of the text in UTF-8; the scores must cover every token of the text."""
    return _bits(log_probabilities) / _length(text.encode())


def bits_per_character(log_probabilities: Tensor, text: str) -> float:
    """Bits that the model needs for each character; the measure for Chinese, where a character is three bytes."""
    return _bits(log_probabilities) / _length(text)


def _bits(log_probabilities: Tensor) -> float:
    _check_log_probabilities(log_probabilities)
    return float(-log_probabilities.double().sum() * BITS)


def _length(text: str | bytes) -> int:
    if not text:
        raise ValueError("the text is empty, so there is nothing to divide the bits by")
    return len(text)


def _check_log_probabilities(log_probabilities: Tensor) -> None:
    if log_probabilities.numel() == 0:
        raise ValueError("there is no log probability; score at least one token")
    if not (log_probabilities <= 1e-6).all():  # NaN fails this as well
        raise ValueError("log probabilities must be at most 0 and not NaN; were probabilities or logits given?")
