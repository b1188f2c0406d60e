"""Classification by a masked model: which word fits the gap?

Shapes: N examples, W words, K labels, R rows of a batch, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmlib.decoding.session import padded
from lmlib.models.base import NOT_NUMBERS
from lmlib.prompting.likelihood import Encode
from lmlib.prompting.templates import Prompt, Values


@dataclass(frozen=True)
class Mask:
    """The mask token of a tokenizer: how it is written in a text, and its id."""

    id: int
    text: str = "[MASK]"


@dataclass(frozen=True)
class Gap:
    """A text with a gap of masks, and the tokens that might fill it."""

    ids: list[int]
    start: int
    wanted: list[int]


def gap(encode: Encode, mask: Mask, before: str, word: str, after: str) -> Gap:
    """As many masks as `word` has tokens in its place in the text. Raises ValueError when its tokens cannot be told."""
    one = encode(before + mask.text + after)
    if one.count(mask.id) != 1:
        raise ValueError(
            f"the gap {mask.text!r} must be token {mask.id} once in the text; it is so {one.count(mask.id)} times: "
            "is this the tokenizer's mask, and is none in the example?"
        )
    start = one.index(mask.id)
    behind = len(one) - start - 1
    whole = encode(before + word + after)
    end = len(whole) - behind
    wanted = whole[start:end]
    if whole[:start] != one[:start] or whole[end:] != one[start + 1 :] or not wanted:
        raise ValueError(f"the tokens of {word!r} run into the text around it, {before[-20:]!r} and {after[:20]!r}")
    return Gap([*one[:start], *[mask.id] * len(wanted), *one[start + 1 :]], start, wanted)


def cloze_scores(
    model: Any, encode: Encode, mask: Mask, prompt: Prompt, examples: Sequence[Values], batch_size: int = 16
) -> Tensor:
    """ln P of each label for each example, (N, K), with {answer} anywhere in the template.

    A word of several tokens gets as many masks. They are filled one by one, the surest first, and each is scored given
    those before it: ln P is their sum. Source: Schick and Schütze 2021b (It's not just size that matters), section 3.1.
    """
    texts = [prompt.fill(values) for values in examples]
    if not texts:
        raise ValueError("there is no example to score")
    gaps = [gap(encode, mask, before, word, after) for before, after in texts for word in prompt.verbaliser.words]
    _check_words_differ(gaps, prompt.verbaliser.words)
    scores = torch.cat([_fill(model, gaps[i : i + batch_size]) for i in range(0, len(gaps), batch_size)])
    return prompt.verbaliser.label_scores(scores.view(len(texts), -1))


def _check_words_differ(gaps: Sequence[Gap], words: Sequence[str]) -> None:
    tokens = [one.wanted for one in gaps[: len(words)]]
    for i, ids in enumerate(tokens):
        if ids in tokens[:i]:
            same = words[tokens.index(ids)]
            raise ValueError(f"the tokenizer gives {same!r} and {words[i]!r} the same tokens {ids}: use other words")


@torch.inference_mode()
def _fill(model: Any, gaps: Sequence[Gap]) -> Tensor:
    """(R,) ln P of the wanted tokens of each gap."""
    if model.training:
        raise ValueError("the model is in training mode, where dropout changes every score; call model.eval() first")
    device = next(model.parameters()).device
    ids, real = padded([one.ids for one in gaps], "right", device)  # (R, T)
    wanted = torch.zeros_like(ids)
    open_ = torch.zeros_like(ids, dtype=torch.bool)  # masks that are still to be filled
    for row, one in enumerate(gaps):
        end = one.start + len(one.wanted)
        wanted[row, one.start : end] = torch.tensor(one.wanted, device=device)
        open_[row, one.start : end] = True
    total = torch.zeros(len(gaps), device=device)
    while open_.any():
        log_p = _log_probabilities(model, ids, real, wanted).masked_fill(~open_, -torch.inf)
        rows = open_.any(1).nonzero().squeeze(1)
        surest, place = log_p[rows].max(1)
        total[rows] += surest
        ids[rows, place] = wanted[rows, place]
        open_[rows, place] = False
    if total.isnan().any():
        raise ValueError(NOT_NUMBERS)
    return total.cpu()


def _log_probabilities(model: Any, ids: Tensor, real: Tensor | None, wanted: Tensor) -> Tensor:
    """(R, T) ln P of the wanted token at each position; equal texts, as an example has for its words, are read once."""
    real = torch.ones_like(ids, dtype=torch.bool) if real is None else real
    texts, which = torch.stack([ids, real.long()]).unique(dim=1, return_inverse=True)  # (2, U, T), (R,)
    out = model(input_ids=texts[0], attention_mask=texts[1])
    if out.logits is None or out.logits.shape[:2] != texts[0].shape:
        raise ValueError(
            f"{type(model).__name__} (head={model.head!r}) does not score the words at each position; "
            "a masked language model is needed"
        )
    log_p = out.logits.to(torch.promote_types(out.logits.dtype, torch.float32)).log_softmax(-1)  # (U, T, V)
    return log_p[which[:, None], torch.arange(ids.size(1), device=ids.device), wanted]
