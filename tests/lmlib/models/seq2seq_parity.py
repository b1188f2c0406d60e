"""What it means that an encoder-decoder equals its peer in `transformers`; T5 and BART share it."""

import itertools
from typing import Any

import torch
from torch import Tensor

from tests.lmlib.models.parity import FLOAT32, assert_close, padded_batch

VOCAB = 40
SOURCE_LENGTHS, TARGET_LENGTHS = [7, 3, 5], [4, 6, 1]


def batch(seed: int, side: str = "right") -> dict[str, Tensor]:
    """Three sources and targets of different lengths, padded on that side; ids from 3 up, 0 as padding."""
    ids, mask, _ = padded_batch(seed, VOCAB, SOURCE_LENGTHS, side, low=3)
    target, target_mask, _ = padded_batch(seed + 1, VOCAB, TARGET_LENGTHS, side, low=3)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "decoder_input_ids": target,
        "decoder_attention_mask": target_mask,
    }


def real_weights(weights: list[Tensor], rows: Tensor, columns: Tensor) -> list[Tensor]:
    """Attention weights (B, H, T, S) with zeros where the query or the key is padding."""
    real = rows.bool()[:, None, :, None] & columns.bool()[:, None, None, :]
    return [w * real for w in weights]


@torch.no_grad()
def assert_equals_peer(ours: Any, peer: Any, given: dict[str, Tensor], bound: float = FLOAT32) -> None:
    """States, logits, and all weights, of both sides, at real positions; explicit and fused attention."""
    reference = peer(**given, output_hidden_states=True, output_attentions=True)
    source, target = given["attention_mask"], given["decoder_attention_mask"]
    out = ours(**given, inspect=True)
    if "logits" in reference:
        assert_close(out.logits, reference.logits, bound, target)
        assert_close(ours(**given).logits, reference.logits, bound, target)
        states = reference.decoder_hidden_states
    else:
        assert_close(ours(**given).last_hidden_state, reference.last_hidden_state, bound, target)
        states = [*reference.decoder_hidden_states[:-1], reference.last_hidden_state]
    assert_close(out.hidden_states, states, bound, target)
    assert_close(out.encoder_output, reference.encoder_last_hidden_state, bound, source)
    assert_close(out.encoder_hidden_states, reference.encoder_hidden_states, bound, source)
    for mine, theirs, rows, columns in (
        (out.encoder_attentions, reference.encoder_attentions, source, source),
        (out.attentions, reference.decoder_attentions, target, target),
        (out.cross_attentions, reference.cross_attentions, target, source),
    ):
        assert_close(real_weights(mine, rows, columns), real_weights(theirs, rows, columns), bound)


@torch.no_grad()
def assert_loss_equals_peer(ours: Any, peer: Any, given: dict[str, Tensor]) -> None:
    """The loss of labels with gaps, and the decoder's input made from them."""
    labels = given["decoder_input_ids"].masked_fill(given["decoder_attention_mask"] == 0, -100)
    labels[0, 0] = -100
    asked = {"input_ids": given["input_ids"], "attention_mask": given["attention_mask"], "labels": labels}
    reference, out = peer(**asked), ours(**asked)
    assert torch.equal(ours.shift_right(labels), peer.prepare_decoder_input_ids_from_labels(labels))
    assert_close(out.loss, reference.loss)
    assert_close(out.logits, reference.logits)


@torch.no_grad()
def assert_cached_equals_uncached(ours: Any, given: dict[str, Tensor]) -> None:
    """Target tokens one by one, and in two pieces, give the logits of all at once; the source is read once."""
    target, mask = given["decoder_input_ids"], given["decoder_attention_mask"]
    whole, length = ours(**given).logits, target.size(1)
    memory = ours.encode(given["input_ids"], given["attention_mask"])
    for cuts in (list(range(length + 1)), [0, 2, length]):
        cache, pieces = ours.decoder.allocate_cache(len(target), length), []
        for start, end in itertools.pairwise(cuts):
            out = ours(
                attention_mask=given["attention_mask"],
                decoder_input_ids=target[:, start:end],
                decoder_attention_mask=mask[:, :end],
                encoder_output=memory if start == 0 else None,  # its keys and values are in the cache by then
                cache=cache,
            )
            pieces.append(out.logits)
        assert_close(torch.cat(pieces, 1), whole, where=mask)
    assert_close(ours(**given, last_only=True).logits, whole[:, -1:], where=mask[:, -1:])


@torch.no_grad()
def assert_batch_equals_one_by_one(ours: Any, given: dict[str, Tensor]) -> None:
    """A padded batch gives at real positions what each pair gives alone, without masks."""
    out = ours(**given).logits
    for row, (source, target) in enumerate(zip(given["attention_mask"], given["decoder_attention_mask"], strict=True)):
        ids = given["input_ids"][row : row + 1, source.bool()]
        alone = ours(input_ids=ids, decoder_input_ids=given["decoder_input_ids"][row : row + 1, target.bool()])
        assert_close(out[row, target.bool()], alone.logits[0])


@torch.no_grad()
def assert_future_cannot_change_past(ours: Any, given: dict[str, Tensor]) -> None:
    """Other target tokens from position t on leave the logits before t as they were, to the bit."""
    target = given["decoder_input_ids"]
    for cut in range(1, target.size(1)):
        other = target.clone()
        other[:, cut:] = (other[:, cut:] + 1) % VOCAB
        before, after = (ours(**(given | {"decoder_input_ids": ids})).logits for ids in (target, other))
        assert torch.equal(before[:, :cut], after[:, :cut])
        assert not torch.equal(before[:, cut:], after[:, cut:])


def assert_empty_source_is_finite(ours: Any, given: dict[str, Tensor]) -> None:
    """A source of padding alone gives finite logits and gradients, whatever is in the other rows."""
    mask = given["attention_mask"].clone()
    mask[0] = 0
    out = ours(**(given | {"attention_mask": mask}), labels=given["decoder_input_ids"])
    assert out.logits.isfinite().all()
    out.loss.backward()
    for name, parameter in ours.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    ours.zero_grad()
