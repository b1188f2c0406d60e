"""Next sentence and sentence order: what the rows hold; only how both stretches relate tells the label."""

from collections import Counter

import pytest
import torch
from scipy import stats

from lmlib.pretraining import Masked, NextSentence, SentenceOrder, SpecialTokens
from lmlib.pretraining.sentence_pairs import trim
from tests.lmlib.pretraining.tiny import TOKENS, draw_document, generator

ALPHA = 1e-6
DOCUMENTS = [[[10], [11], [12], [13]], [[20], [21], [22]], [[30], [31]]]  # a token a sentence: it says where it is from


def stretches(batch: dict[str, torch.Tensor]) -> list[tuple[list[int], list[int], int]]:
    """First, second stretch and label of each row."""
    found = []
    for ids, mask, label in zip(batch["input_ids"], batch["attention_mask"], batch["pair_labels"], strict=True):
        row = ids[mask == 1].tolist()
        end = row.index(2)
        assert row[0] == 1
        assert row[-1] == 2
        found.append((row[1:end], row[end + 1 : -1], int(label)))
    return found


def many(objective, n: int) -> list[tuple[list[int], list[int], int]]:
    return [pair for _ in range(n) for pair in stretches(objective(DOCUMENTS))]


def document_of(ids: list[int]) -> int:
    return ids[0] // 10


def test_the_next_sentence_follows_or_comes_from_another_document(seed):
    pairs = many(NextSentence(TOKENS, 20, generator=generator(seed)), 300)
    for first, second, label in pairs:
        same = document_of(first) == document_of(second)
        assert same == (label == 0)
        assert label or second[0] == first[-1] + 1
    others = sum(label for _, _, label in pairs)
    assert stats.binomtest(others, len(pairs), 0.5).pvalue > ALPHA


def test_neither_stretch_alone_tells_whether_they_belong_together(seed):
    """Which first, and which second stretch it is, does not depend on the label; so not its length either."""
    pairs = many(NextSentence(TOKENS, 20, generator=generator(seed)), 1500)
    for side in (0, 1):
        counts = Counter((tuple(pair[side]), pair[2]) for pair in pairs)
        kinds = sorted({stretch for stretch, _ in counts})
        assert len(kinds) == 3 + 2 + 1
        table = [[counts[kind, label] for kind in kinds] for label in (0, 1)]
        assert stats.chi2_contingency(table).pvalue > ALPHA


def test_sentence_order_swaps_half_of_the_pairs_of_one_document(seed):
    pairs = many(SentenceOrder(TOKENS, 20, generator=generator(seed)), 300)
    for first, second, label in pairs:
        a, b = (second, first) if label else (first, second)
        assert b[0] == a[-1] + 1
    swapped = sum(label for _, _, label in pairs)
    assert stats.binomtest(swapped, len(pairs), 0.5).pvalue > ALPHA


def test_the_cut_stands_between_any_two_sentences_alike(seed):
    pairs = many(SentenceOrder(TOKENS, 20, generator=generator(seed)), 600)
    counts = Counter(len(b if label else a) for a, b, label in pairs if document_of(a) == 1)
    assert set(counts) == {1, 2, 3}
    assert stats.chisquare(list(counts.values())).pvalue > ALPHA


@pytest.mark.parametrize("objective", [NextSentence, SentenceOrder])
def test_rows_keep_to_the_longest_length_and_segments_mark_the_second_stretch(objective, seed):
    g = generator(seed)
    documents = [draw_document(lengths, g) for lengths in ([9, 9, 9], [2, 30], [1, 1])]
    batch = objective(TOKENS, 16, generator=g)(documents)
    assert batch["input_ids"].size(1) <= 16
    for ids, segments, mask in zip(batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], strict=True):
        n, first_end = int(mask.sum()), ids.tolist().index(2)
        assert segments.tolist() == [0] * (first_end + 1) + [1] * (n - first_end - 1) + [0] * (len(ids) - n)


def test_what_is_cut_off_stands_far_from_the_cut():
    assert trim([1, 2, 3, 4, 5], [6, 7, 8], 3 + 4) == ([4, 5], [6, 7])
    assert trim([1, 2, 3, 4, 5], [6], 3 + 4) == ([3, 4, 5], [6])
    assert trim([1], [6, 7, 8, 9], 3 + 4) == ([1], [6, 7, 8])
    assert trim([1, 2], [6, 7], 3 + 4) == ([1, 2], [6, 7])


def test_masked_tokens_come_with_the_pair_when_asked_for(seed):
    g = generator(seed)
    batch = NextSentence(TOKENS, 40, Masked(TOKENS, rate=0.5, generator=g), generator=g)(DOCUMENTS)
    chosen = batch["labels"] != -100
    assert chosen.any()
    assert TOKENS.is_text(batch["labels"][chosen]).all()
    assert "labels" not in NextSentence(TOKENS, 40, generator=g)(DOCUMENTS)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: NextSentence(TOKENS)(DOCUMENTS[:1]), "from another document of the batch; got 1 documents"),
        (lambda: NextSentence(TOKENS)([[[7]], [[8], [9]]]), r"two sentences or more, none empty; got lengths \[1\]"),
        (lambda: SentenceOrder(TOKENS)([[[7], []]]), r"none empty; got lengths \[1, 0\]"),
        (lambda: SentenceOrder(TOKENS)([[7, 8]]), "a list of sentences, each a list of ids; got one list of ids"),
        (lambda: SentenceOrder(TOKENS)([]), "at least one sequence"),
        (lambda: SentenceOrder(TOKENS)([[[7], [2]]]), "texts without special tokens and adds its own; got the id 2"),
        (lambda: SentenceOrder(TOKENS, 4), "max_length must be at least 5, a token a side; got 4"),
        (lambda: NextSentence(TOKENS, 4), "max_length must be at least 5"),
        (lambda: SentenceOrder(SpecialTokens(40, pad=0, start=1))(DOCUMENTS), "needs a end token"),
    ],
)
def test_bad_input_is_refused_with_a_reason(given, message):
    with pytest.raises(ValueError, match=message):
        given()
