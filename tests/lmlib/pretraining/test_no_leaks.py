"""No label can be read off the input: with another answer and the same draws, the model predicts the same.

For each objective a token that is to be predicted is exchanged in the text. The batch is drawn again from the same
state, and the logits at its place must be what they were, through whatever attention and permutation masks the model
and the batch have. Where the objective shows the answer on purpose (10 % of masked tokens stay; a denoiser copies what
was not hidden), that place is left out, and the text says so. Each test has its counterpart: with a mistake put in, the
same check sees it.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lmlib.pretraining import (
    Causal,
    Contrastive,
    Denoising,
    GeneratorAndDiscriminator,
    Masked,
    NextSentence,
    Permutation,
    ReplacedToken,
    SpanCorruption,
)
from tests.lmlib.models import parity
from tests.lmlib.pretraining.tiny import (
    FIRST,
    LAST,
    PEERS,
    SENTINELS,
    TOKENS,
    draw_document,
    draw_text,
    framed,
    generator,
    peer_and_ours,
)

Batch = dict[str, Tensor]
SEEDS = st.integers(0, 2**31)
LENGTHS = st.lists(st.integers(3, 14), min_size=2, max_size=3)
FEW = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Any]:
    return {name: peer_and_ours(name, tmp_path_factory.mktemp(name), seed=1)[1] for name in PEERS}


def exchanged(example: Any, old: int, new: int) -> Any:
    """The example, a nest of lists, with one token in place of another."""
    if isinstance(example, list):
        return [exchanged(part, old, new) for part in example]
    return new if example == old else example


def unused(examples: list[Any]) -> int:
    """A text token that no example has."""
    flat = str(examples)
    return next(i for i in range(LAST, FIRST, -1) if f" {i}," not in f" {flat.replace('[', ' ').replace(']', ',')}")


Collate = Callable[[torch.Generator], Callable[[list[Any]], Batch]]


def leaks(model: Any, collate: Collate, examples: list[Any], seed: int, shown: Any, shift: int = 0) -> list[int]:
    """The answers whose exchange changes the logits at their own place.

    shown(batch, row, place) says whether this objective shows this answer on purpose. shift: the logits that predict a
    label stand so many places before it.
    """
    batch = collate(generator(seed))(examples)
    logits = model(**batch).logits
    found = []
    for row, place in (batch["labels"] != -100).nonzero().tolist():
        answer = int(batch["labels"][row, place])
        if place < shift or not TOKENS.is_text(torch.tensor(answer)) or shown(batch, row, place):
            continue
        other = collate(generator(seed))(exchanged(examples, answer, unused(examples)))
        assert int(other["labels"][row, place]) != answer
        after = model(**other).logits[row, place - shift]
        if not torch.allclose(after, logits[row, place - shift], atol=1e-5):
            found.append(answer)
    return found


def never(batch: Batch, row: int, place: int) -> bool:
    return False


def kept(batch: Batch, row: int, place: int) -> bool:
    """The masked token stayed, or a random one was the same by chance."""
    return bool(batch["input_ids"][row, place] == batch["labels"][row, place])


def copied(batch: Batch, row: int, place: int) -> bool:
    """The damaged text still has the token somewhere."""
    return bool((batch["input_ids"][row] == batch["labels"][row, place]).any())


def texts(lengths: list[int], seed: int) -> list[list[int]]:
    """One text a row; no token occurs twice in any of them."""
    document = draw_document(lengths, generator(seed))
    return [framed(sentence) for sentence in document]


@torch.no_grad()
@FEW
@given(lengths=LENGTHS, seed=SEEDS)
def test_causal(models, lengths, seed):
    assert leaks(models["gpt2"], lambda g: Causal(TOKENS), texts(lengths, seed), seed, never, shift=1) == []


@torch.no_grad()
def test_causal_labels_that_are_not_shifted_are_seen(models):
    assert leaks(models["gpt2"], lambda g: Causal(TOKENS), texts([6, 5], 0), 0, never, shift=0)


@torch.no_grad()
@FEW
@given(lengths=LENGTHS, seed=SEEDS)
def test_masked(models, lengths, seed):
    assert leaks(models["roberta"], lambda g: Masked(TOKENS, 0.4, generator=g), texts(lengths, seed), seed, kept) == []


@torch.no_grad()
def test_masked_tokens_that_stay_are_seen(models):
    def collate(g: torch.Generator) -> Masked:
        return Masked(TOKENS, 0.4, mask_share=0.0, random_share=0.0, generator=g)

    assert leaks(models["roberta"], collate, texts([9, 9], 0), 0, never)


@torch.no_grad()
@FEW
@given(lengths=LENGTHS, seed=SEEDS)
def test_masked_in_pairs_of_sentences(models, lengths, seed):
    g = generator(seed)
    sentences = draw_document([n // 2 + 1 for n in lengths for _ in range(2)], g)
    documents = [sentences[i : i + 2] for i in range(0, len(sentences), 2)]

    def collate(g: torch.Generator) -> NextSentence:
        return NextSentence(TOKENS, 32, Masked(TOKENS, 0.4, generator=g), generator=g)

    assert leaks(models["bert"], collate, documents, seed, copied) == []


@torch.no_grad()
@FEW
@given(lengths=LENGTHS, seed=SEEDS, noise=st.sampled_from(["token_mask", "token_deletion", "text_infilling"]))
def test_denoising_of_what_is_hidden(models, lengths, seed, noise):
    documents = [draw_document([n, 4], generator(seed + i)) for i, n in enumerate(lengths)]

    def collate(g: torch.Generator) -> Denoising:
        return Denoising(TOKENS, (noise, "sentence_permutation"), rate=0.4, generator=g)

    assert leaks(models["bart"], collate, documents, seed, copied) == []


@torch.no_grad()
@FEW
@given(lengths=LENGTHS, seed=SEEDS)
def test_span_corruption(models, lengths, seed):
    rows = [row[1:-1] for row in texts(lengths, seed)]

    def collate(g: torch.Generator) -> SpanCorruption:
        return SpanCorruption(TOKENS, SENTINELS, rate=0.4, generator=g)

    assert leaks(models["t5"], collate, rows, seed, never) == []


@torch.no_grad()
@pytest.mark.parametrize("family", ["bart", "t5"])
def test_a_decoder_that_reads_labels_without_the_shift_is_seen(models, family):
    def collate(g: torch.Generator) -> Callable[[list[Any]], Batch]:
        objective = (
            Denoising(TOKENS, ("token_deletion",), rate=0.5, generator=g)
            if family == "bart"
            else SpanCorruption(TOKENS, SENTINELS, rate=0.4, generator=g)
        )
        return lambda rows: (batch := objective(rows)) | {"decoder_input_ids": batch["labels"].clamp(min=0)}

    rows = [draw_text(10, generator(i)) for i in range(2)]
    assert leaks(models[family], collate, [[row] for row in rows] if family == "bart" else rows, 0, copied)


@torch.no_grad()
@FEW
@given(lengths=LENGTHS, seed=SEEDS)
def test_permutation(models, lengths, seed):
    assert leaks(models["xlnet"], lambda g: Permutation(TOKENS, 2, g), texts(lengths, seed), seed, never) == []


@torch.no_grad()
@pytest.mark.parametrize("wrong", ["everything", "itself", "later"])
def test_a_permutation_mask_that_shows_too_much_is_seen(models, wrong):
    def collate(g: torch.Generator) -> Callable[[list[Any]], Batch]:
        def batch_of(rows: list[Any]) -> Batch:
            batch = Permutation(TOKENS, 2, g)(rows)
            mask = batch["perm_mask"].clone()
            if wrong == "everything":
                mask[:] = False
            elif wrong == "itself":
                mask &= ~torch.eye(mask.size(1), dtype=torch.bool)
            else:  # the context sees the targets, and hands them on
                mask[:, 0] = False
            return batch | {"perm_mask": mask}

        return batch_of

    assert leaks(models["xlnet"], collate, texts([9, 9], 0), 0, never)


@torch.no_grad()
@FEW
@given(lengths=LENGTHS, seed=SEEDS)
def test_replaced_token(models, lengths, seed):
    """Neither what the generator writes nor what the discriminator thinks of it depends on the masked original."""
    model = GeneratorAndDiscriminator(type(models["bert"])(models["bert"].config, "masked_lm"), bert_states(models))
    rows = texts(lengths, seed)
    batch = ReplacedToken(TOKENS, 0.4, generator(seed))(rows)
    before = model.eval()(**batch)
    row, place = (batch["labels"] != -100).nonzero().tolist()[0]
    other_rows = exchanged(rows, int(batch["labels"][row, place]), unused(rows))
    after = model(**ReplacedToken(TOKENS, 0.4, generator(seed))(other_rows))
    assert torch.equal(before.corrupted, after.corrupted)
    assert torch.equal(before.logits, after.logits)


def bert_states(models: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return type(models["bert"])(models["bert"].config)


@torch.no_grad()
@FEW
@given(seed=SEEDS)
def test_contrastive_vectors_do_not_know_their_partner(models, seed):
    model = bert_states(models).eval()
    anchors, positives, others = (
        [framed(draw_text(n, generator(seed + i))) for i in places]
        for n, places in ((5, range(3)), (7, range(3, 6)), (7, range(6, 9)))
    )
    vectors = []
    for partners in (positives, others):
        batch = Contrastive(TOKENS)(list(zip(anchors, partners, strict=True)))
        states = model(batch["input_ids"].flatten(0, 1), batch["attention_mask"].flatten(0, 1)).last_hidden_state
        vectors.append(states[::2, 0])  # of the anchors
    parity.assert_close(vectors[0], vectors[1])
