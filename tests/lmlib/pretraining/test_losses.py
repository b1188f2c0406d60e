"""The batch of every objective gives the loss that the peer library computes from it, and padding has no part in it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmlib.pretraining import (
    Causal,
    Denoising,
    Masked,
    NextSentence,
    Permutation,
    SentenceOrder,
    SpanCorruption,
)
from lmlib.pretraining.masked import masked_loss
from tests.lmlib.models import parity
from tests.lmlib.pretraining.tiny import SENTINELS, TOKENS, draw_document, draw_text, framed, generator, peer_and_ours

# family → objective; what the peer calls the labels of a pair
OBJECTIVES: dict[str, tuple[Any, str]] = {
    "gpt2": (lambda g: Causal(TOKENS), ""),
    "bert": (lambda g: NextSentence(TOKENS, 40, Masked(TOKENS, generator=g), generator=g), "next_sentence_label"),
    "albert": (lambda g: SentenceOrder(TOKENS, 40, Masked(TOKENS, generator=g), generator=g), "sentence_order_label"),
    "roberta": (lambda g: Masked(TOKENS, generator=g), ""),
    "bart": (lambda g: Denoising(TOKENS, generator=g), ""),
    "t5": (lambda g: SpanCorruption(TOKENS, SENTINELS, generator=g), ""),
    "xlnet": (lambda g: Permutation(TOKENS, generator=g), ""),
}
OF_DOCUMENTS = ("bert", "albert", "bart")


def examples(family: str, seed: int) -> list[Any]:
    """Four documents of different lengths, or their texts."""
    g = generator(seed)
    documents = [draw_document(lengths, g) for lengths in ([4, 3, 6], [2, 5], [3, 3, 3, 3], [4, 7])]
    if family in OF_DOCUMENTS:
        return documents
    texts = [[i for sentence in document for i in sentence] for document in documents]
    return texts if family == "t5" else [framed(text) for text in texts]


def batch_of(family: str, seed: int) -> dict[str, torch.Tensor]:
    return OBJECTIVES[family][0](generator(seed))(examples(family, seed))


@pytest.mark.parametrize("family", OBJECTIVES)
def test_the_loss_of_the_batch_is_the_peers(family: str, seed: int, tmp_path: Path) -> None:
    peer, ours = peer_and_ours(family, tmp_path, seed)
    batch = batch_of(family, seed)
    theirs = {OBJECTIVES[family][1] if name == "pair_labels" else name: value for name, value in batch.items()}
    if "perm_mask" in theirs:
        theirs["perm_mask"] = theirs["perm_mask"].float()
    parity.assert_close(ours(**batch).loss, peer(**theirs).loss)


@pytest.mark.parametrize("family", ["bert", "albert", "roberta"])
def test_scoring_labelled_positions_only_changes_neither_loss_nor_gradients(
    family: str, seed: int, tmp_path: Path
) -> None:
    _, ours = peer_and_ours(family, tmp_path, seed)
    batch = batch_of(family, seed)
    results = []
    for loss in (lambda: ours(**batch).loss, lambda: masked_loss(ours, batch)):
        ours.zero_grad()
        value = loss()
        value.backward()
        results.append([value, *(p.grad for p in ours.parameters() if p.grad is not None)])
    parity.assert_close(results[0], results[1])
    n_labels = int((batch["labels"] != -100).sum())
    assert ours(**batch, labelled_only=True).logits.shape == (n_labels, TOKENS.vocab_size)


def test_labelled_only_needs_labels_and_a_masked_head(tmp_path: Path) -> None:
    _, ours = peer_and_ours("roberta", tmp_path, 0)
    ids = torch.tensor([[1, 7, 2]])
    with pytest.raises(ValueError, match=r"labelled_only needs labels.*got no labels"):
        ours(ids, labelled_only=True)
    with pytest.raises(ValueError, match=r"labels must be int64 of shape \(1, 3\)"):
        ours(ids, labels=torch.tensor([[1, 2]]), labelled_only=True)
    tagger = type(ours)(ours.config, "tagging")
    with pytest.raises(ValueError, match=r"labelled_only needs labels.*got head='tagging'"):
        tagger(ids, labels=ids, labelled_only=True)


def longer(family: str, batch: dict[str, torch.Tensor], n: int, filler: int) -> dict[str, torch.Tensor]:
    """The batch with n more columns of padding wherever there is a length, and `filler` at all padding."""
    pad = torch.nn.functional.pad
    made = {}
    for name, tensor in batch.items():
        values = {"labels": -100}
        if name == "perm_mask":
            made[name] = pad(tensor, (0, n, 0, n))
        elif name == "target_mapping":
            made[name] = pad(tensor, (0, n, 0, 1))  # one more target that is none, too
        elif name == "labels" and family == "xlnet":
            made[name] = pad(tensor, (0, 1), value=-100)
        elif name == "pair_labels":
            made[name] = tensor
        else:
            made[name] = pad(tensor, (0, n), value=values.get(name, 0))
    made["input_ids"] = made["input_ids"].masked_fill(made["attention_mask"] == 0, filler)
    return made


@pytest.mark.parametrize("family", OBJECTIVES)
def test_neither_length_nor_content_of_padding_changes_the_loss(family: str, seed: int, tmp_path: Path) -> None:
    _, ours = peer_and_ours(family, tmp_path, seed)
    batch = batch_of(family, seed)
    assert (batch["attention_mask"] == 0).any()
    filler = 0 if family == "roberta" else 17  # RoBERTa counts positions by the padding id
    parity.assert_close(ours(**longer(family, batch, 3, filler)).loss, ours(**batch).loss)


@pytest.mark.parametrize("family", [family for family in OBJECTIVES if family != "gpt2"])
def test_the_state_of_the_generator_gives_the_same_batch_again(family: str, seed: int) -> None:
    g = generator(seed)
    objective = OBJECTIVES[family][0](g)
    objective(examples(family, seed))
    state = g.get_state()
    first = objective(examples(family, seed))
    g.set_state(state)
    second = objective(examples(family, seed))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_without_a_generator_torchs_own_state_decides(seed: int) -> None:
    texts = [framed(draw_text(30, generator(seed)))] * 4
    batches = []
    for start in (seed, seed, seed + 1):
        torch.manual_seed(start)
        batches.append(Masked(TOKENS)(texts)["labels"])
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])
