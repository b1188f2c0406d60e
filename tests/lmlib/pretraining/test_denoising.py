"""Each of the five noises does what the paper says, as a distribution where it draws; span corruption is reversible."""

from collections import Counter

import pytest
import torch
from scipy import stats

from lmlib.pretraining import Denoising, SpanCorruption, SpecialTokens
from lmlib.pretraining.denoising import (
    NOISES,
    delete_tokens,
    infill,
    mask_tokens,
    permute_sentences,
    rotate_document,
    span_lengths,
)
from lmlib.pretraining.span_corruption import random_parts, t5_sentinels
from tests.lmlib.pretraining.tiny import SENTINELS, TOKENS, draw_document, draw_text, generator

ALPHA = 1e-6
MASK = 3


def test_token_masking_hits_a_share_and_keeps_places(seed):
    ids = [7] * 20_000
    damaged = mask_tokens(ids, 0.3, MASK, generator(seed))
    assert len(damaged) == len(ids)
    assert set(damaged) == {7, MASK}
    assert stats.binomtest(damaged.count(MASK), len(ids), 0.3).pvalue > ALPHA


def test_token_deletion_removes_a_share_and_keeps_the_order(seed):
    ids = list(range(20_000))
    damaged = delete_tokens(ids, 0.3, generator(seed))
    assert damaged == sorted(damaged)
    assert stats.binomtest(len(ids) - len(damaged), len(ids), 0.3).pvalue > ALPHA


def test_infilling_hides_exactly_a_share_in_spans_of_poisson_length(seed):
    ids = list(range(100, 20_100))
    damaged = infill(ids, 0.3, 3.0, MASK, generator(seed))
    kept = [i for i in damaged if i != MASK]
    assert len(kept) == 14_000
    assert kept == sorted(kept)
    lengths = span_lengths(6000, 3.0, generator(seed))
    assert sum(lengths) == 6000
    counts = Counter(min(n, 8) for n in lengths[:-1])  # the last was cut to fit
    expected = [*(stats.poisson.pmf(n, 3) for n in range(8)), stats.poisson.sf(7, 3)]
    observed = [counts[n] for n in range(9)]
    assert stats.chisquare(observed, [p * sum(observed) for p in expected]).pvalue > ALPHA


def test_infilling_puts_one_mask_for_a_span_and_one_where_nothing_is_missing(seed):
    """Three tokens, a third to hide: with lengths (0, 1) or (1) every layout is as likely as any other."""
    g = generator(seed)
    layouts = Counter(tuple(infill([7, 8, 9], 1 / 3, 1000.0, MASK, g)) for _ in range(1500))
    assert set(layouts) == {(MASK, 8, 9), (7, MASK, 9), (7, 8, MASK)}  # long spans, cut to the one token
    assert stats.chisquare(list(layouts.values())).pvalue > ALPHA
    inserted = [infill([7, 8, 9], 1 / 3, 1.0, MASK, g) for _ in range(300)]
    assert all(len([i for i in row if i != MASK]) == 2 for row in inserted)
    assert any(row.count(MASK) > 1 for row in inserted)  # spans of length 0


def test_all_orders_of_sentences_are_as_likely(seed):
    g = generator(seed)
    document = [[7, 8], [9], [10, 11]]
    orders = Counter(tuple(map(tuple, permute_sentences(document, g))) for _ in range(1200))
    assert len(orders) == 6
    assert stats.chisquare(list(orders.values())).pvalue > ALPHA


def test_rotation_starts_at_any_token_and_loses_none(seed):
    g = generator(seed)
    rotations = Counter(tuple(rotate_document([7, 8, 9, 10], g)) for _ in range(800))
    assert set(rotations) == {(7, 8, 9, 10), (8, 9, 10, 7), (9, 10, 7, 8), (10, 7, 8, 9)}
    assert stats.chisquare(list(rotations.values())).pvalue > ALPHA


@pytest.mark.parametrize("noise", NOISES)
def test_whatever_the_noise_the_labels_are_the_whole_text_between_its_special_tokens(noise, seed):
    g = generator(seed)
    documents = [draw_document([4, 5, 3], g), draw_document([6, 2], g)]
    batch = Denoising(TOKENS, (noise,), rate=0.5, generator=g)(documents)
    for row, document in enumerate(documents):
        text = [i for sentence in document for i in sentence]
        labels = batch["labels"][row]
        assert labels[labels != -100].tolist() == [1, *text, 2]
        source = batch["input_ids"][row][batch["attention_mask"][row] == 1].tolist()
        assert (source[0], source[-1]) == (1, 2)
        assert set(source[1:-1]) <= {*text, MASK}
        if noise in ("sentence_permutation", "document_rotation"):
            assert sorted(source[1:-1]) == sorted(text)


def test_noises_that_move_text_come_before_those_that_hide_it(seed):
    """All together: a rotated text with masks in it, never a rotation of masked sentences one by one."""
    document = draw_document([10, 10], generator(seed))
    damaged = Denoising(TOKENS, NOISES, rate=0.2, generator=generator(seed)).damage(document)
    assert MASK in damaged
    assert len(damaged) < 20


# span corruption


def test_the_paper_example_comes_out_as_in_its_figure():
    words = ["Thank", "you", "for", "inviting", "me", "to", "your", "party", "last", "week", "."]
    ids = {word: 10 + i for i, word in enumerate(words)}
    x, y, z = SENTINELS[:3]
    source, target = SpanCorruption(TOKENS, SENTINELS).corrupt([ids[word] for word in words], [(2, 4), (8, 9)])
    assert source == [ids["Thank"], ids["you"], x, *(ids[w] for w in ("me", "to", "your", "party")), y, ids["week"],
                      ids["."], 2]  # fmt: skip
    assert target == [x, ids["for"], ids["inviting"], y, ids["last"], z, 2]


def rebuilt(source: list[int], target: list[int]) -> list[int]:
    """The text of an input and a target: each sentinel of the input by what follows it in the target."""
    spans, now = {}, []
    for i in target[:-1]:
        if i in SENTINELS:
            now = spans.setdefault(i, [])
        else:
            now.append(i)
    return [i for token in source[:-1] for i in (spans[token] if token in SENTINELS else [token])]


def test_input_and_target_rebuild_the_text(seed):
    g = generator(seed)
    corruption = SpanCorruption(TOKENS, SENTINELS, rate=0.3, generator=g)
    texts = [draw_text(n, g) for n in (2, 3, 7, 20, 40)]
    batch = corruption(texts)
    for row, text in enumerate(texts):
        source = batch["input_ids"][row][batch["attention_mask"][row] == 1].tolist()
        target = batch["labels"][row][batch["labels"][row] != -100].tolist()
        assert rebuilt(source, target) == text
        n_cut = min(max(round(0.3 * len(text)), 1), len(text) - 1)
        assert len([i for i in target if i not in SENTINELS]) == n_cut + 1  # and the end token
        assert not {*source, *target} & {0}


def test_spans_never_touch_and_lie_anywhere_alike(seed):
    corruption = SpanCorruption(TOKENS, SENTINELS, rate=0.3, mean_length=1.5, generator=generator(seed))
    counts = Counter()
    for _ in range(1000):
        spans = corruption.draw_spans(10)  # 3 tokens in 2 spans
        assert [b - a for a, b in spans] in ([1, 2], [2, 1])
        assert spans[0][1] < spans[1][0]
        counts[tuple(spans)] += 1
    assert len(counts) == 2 * 28  # two ways to split 3, and 8 gaps around 7 tokens of which 2 hold a span
    assert stats.chisquare(list(counts.values())).pvalue > ALPHA


def test_every_split_into_parts_is_as_likely(seed):
    g = generator(seed)
    splits = Counter(tuple(random_parts(5, 3, g)) for _ in range(600))
    assert set(splits) == {(1, 1, 3), (1, 3, 1), (3, 1, 1), (1, 2, 2), (2, 1, 2), (2, 2, 1)}
    assert stats.chisquare(list(splits.values())).pvalue > ALPHA


def test_t5_counts_its_sentinels_down_from_the_last_id():
    assert t5_sentinels(32100)[:2] == (32099, 32098)
    assert len(t5_sentinels(32100)) == 100


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: Denoising(TOKENS, ("blur",)), "noises are some of token_mask, .*; got blur"),
        (lambda: Denoising(TOKENS, ()), "noises are some of .*; got none"),
        (lambda: Denoising(TOKENS, rate=0.0), "rate is a share above 0 and at most 1; got 0.0"),
        (lambda: Denoising(TOKENS, mean_length=0.5), "mean_length must be at least 1; got 0.5"),
        (lambda: Denoising(SpecialTokens(9, pad=0, start=1, end=2)), "denoising needs a mask token"),
        (lambda: Denoising(TOKENS)([]), r"needs a document, and each at least one token; got documents of \[\] tokens"),
        (lambda: Denoising(TOKENS)([[[7]], [[]]]), r"got documents of \[1, 0\] tokens"),
        (lambda: Denoising(TOKENS)([[[1, 7]]]), "texts without special tokens and adds its own; got the id 1"),
        (lambda: SpanCorruption(SpecialTokens(9, pad=0), [8]), "span corruption needs a end token"),
        (lambda: SpanCorruption(TOKENS, SENTINELS, rate=1.0), "between 0 and 1, so that some text stays; got 1.0"),
        (lambda: SpanCorruption(TOKENS, SENTINELS, mean_length=float("nan")), "must be at least 1; got nan"),
        (lambda: SpanCorruption(TOKENS, SENTINELS)([]), "at least one sequence"),
        (lambda: SpanCorruption(TOKENS, SENTINELS)([[7]]), "at least 2 tokens, one to stay and one to go; got 1"),
        (lambda: SpanCorruption(TOKENS, SENTINELS)([[7, 59]]), "texts without special tokens .* got the id 59"),
        (lambda: SpanCorruption(TOKENS, [59])([[7, 8]]), "1 spans and the end .* need 2 sentinels; there are 1"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_reason(given, message):
    with pytest.raises(ValueError, match=message):
        given()


def test_a_target_is_no_longer_than_what_was_cut_out_needs():
    batch = SpanCorruption(TOKENS, SENTINELS, generator=torch.Generator().manual_seed(0))([list(range(5, 45))])
    n_spans = 2  # 6 of 40 tokens, 3 a span
    assert batch["input_ids"].size(1) == 40 - 6 + n_spans + 1
    assert batch["labels"].size(1) == 6 + n_spans + 1 + 1
