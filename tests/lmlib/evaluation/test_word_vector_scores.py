"""Similarity and analogy scores against scipy and gensim on the same vectors."""

import itertools
import random

import pytest
import torch
from gensim.models import KeyedVectors
from scipy.stats import spearmanr

from lmlib.evaluation.word_vectors import analogy_accuracy, similarity_score, spearman
from lmlib.models.word_vectors import WordVectors

WORDS = [f"w{i}" for i in range(12)]


@pytest.fixture
def both(seed: int) -> tuple[WordVectors, KeyedVectors]:
    """The same random vectors as ours and as gensim's."""
    matrix = torch.randn(len(WORDS), 4, generator=torch.Generator().manual_seed(seed))
    peer = KeyedVectors(vector_size=4)
    peer.add_vectors(WORDS, matrix.numpy())
    return WordVectors(WORDS, matrix), peer


def test_spearman_equals_that_of_scipy_with_ties(seed: int):
    draw = random.Random(seed)
    first, second = ([draw.randint(0, 5) for _ in range(25)] for _ in range(2))
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_similarity_equals_that_of_gensim(both, seed: int, tmp_path):
    ours, peer = both
    draw = random.Random(seed)
    pairs = [(a, b, draw.randint(0, 10)) for a, b in itertools.combinations([*WORDS, "unknown"], 2)]
    file = tmp_path / "pairs.tsv"
    file.write_text("".join(f"{a}\t{b}\t{score}\n" for a, b, score in pairs), "utf-8")
    _, reference, unknown = peer.evaluate_word_pairs(file, case_insensitive=False)
    result = similarity_score(ours, pairs)
    assert result.score == pytest.approx(reference.statistic, abs=1e-5)
    assert 1 - result.n_used / result.n_all == pytest.approx(unknown / 100)


def test_analogies_equal_those_of_gensim(both, seed: int, tmp_path):
    ours, peer = both
    draw = random.Random(seed)
    questions = [tuple(draw.sample(WORDS, 4)) for _ in range(200)] + [("w0", "w1", "w2", "unknown")]
    file = tmp_path / "questions.txt"
    file.write_text(": all\n" + "".join(" ".join(question) + "\n" for question in questions), "utf-8")
    reference, _ = peer.evaluate_word_analogies(file, case_insensitive=False)
    result = analogy_accuracy(ours, questions, batch_size=64)
    assert result.score == pytest.approx(reference)
    assert (result.n_used, result.n_all) == (200, 201)


def test_nearest_words_and_analogies_equal_those_of_gensim(both):
    ours, peer = both
    for reference, result in (
        (peer.most_similar("w3", topn=5), ours.nearest("w3", k=5)),
        (peer.most_similar(positive=["w1", "w2"], negative=["w0"], topn=5), ours.analogy("w0", "w1", "w2", k=5)),
    ):
        assert [word for word, _ in result] == [word for word, _ in reference]
        assert [score for _, score in result][:1] == pytest.approx([score for _, score in reference][:1], abs=2e-1)
    assert ours.cosine("w1", "w2") == pytest.approx(float(peer.similarity("w1", "w2")), abs=1e-6)


VECTORS = WordVectors(["a", "b"], torch.eye(2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: WordVectors(["a"], torch.eye(2)), ValueError, r"1 words need a matrix \(V, C\); got \(2, 2\)"),
        (lambda: VECTORS["c"], KeyError, "'c' has no vector; 2 words have"),
        (lambda: VECTORS.analogy("a", "b", "z"), KeyError, "'z' has no vector"),
        (lambda: similarity_score(VECTORS, [("a", "z", 1.0)]), ValueError, "0 of 1 pairs"),
        (lambda: analogy_accuracy(VECTORS, [("a", "b", "a", "z")]), ValueError, "none of the 1 questions"),
        (lambda: spearman([1, 2], [1]), ValueError, r"got \[2, 1\]"),
        (lambda: spearman([1, 2], [3, 3]), ValueError, "no order to compare"),
    ],
)
def test_wrong_input_is_refused_with_its_reason(call, error, message: str):
    with pytest.raises(error, match=message):
        call()
