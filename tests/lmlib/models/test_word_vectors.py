"""Word2Vec and GloVe: losses against float64 NumPy, counts against loops, vectors on a corpus whose truth is known."""

import itertools
import random
import re
from collections import Counter
from pathlib import Path

import gensim.models
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lmlib.evaluation.word_vectors import analogy_accuracy, similarity_score
from lmlib.models.glove import Glove, GloveConfig, count_cooccurrence, fit, train_glove, weighted_squares
from lmlib.models.word2vec import (
    Word2Vec,
    Word2VecConfig,
    batches,
    examples,
    keep_probability,
    train_word2vec,
    windows,
)
from lmlib.models.word_vectors import RowAdagrad, WordVectors
from lmlib.text.vocabulary import Vocabulary

DATA = Path(__file__).parents[4] / "shared" / "data"
N_ROWS, N_COLUMNS = 3, 4


def planted_corpus(seed: int, n_sentences: int = 3000) -> list[list[str]]:
    """Each word w<row><column> stands among words of its row and of its column; one in five is drawn by chance.

    So w00 is to w01 as w20 is to w21, and two words are alike when they share a row or a column.
    """
    draw = random.Random(seed)

    def near(kind: str, i: int, n: int) -> str:
        return f"{kind}{draw.randrange(n) if draw.random() < 0.2 else i}{draw.randrange(3)}"

    corpus = []
    for _ in range(n_sentences):
        row, column = draw.randrange(N_ROWS), draw.randrange(N_COLUMNS)
        sentence = [f"w{row}{column}"]
        sentence += [near(*kind) for kind in [("r", row, N_ROWS), ("c", column, N_COLUMNS)] for _ in range(2)]
        draw.shuffle(sentence)
        corpus.append(sentence)
    return corpus


def planted_questions() -> list[tuple[str, str, str, str]]:
    rows, columns = (list(itertools.permutations(range(n), 2)) for n in (N_ROWS, N_COLUMNS))
    return [(f"w{a}{x}", f"w{a}{y}", f"w{b}{x}", f"w{b}{y}") for a, b in rows for x, y in columns]


def planted_similarities() -> list[tuple[str, str, float]]:
    words = list(itertools.product(range(N_ROWS), range(N_COLUMNS)))
    return [(f"w{a}{x}", f"w{b}{y}", float((a == b) + (x == y))) for (a, x), (b, y) in itertools.combinations(words, 2)]


def as_ours(model: gensim.models.Word2Vec) -> WordVectors:
    return WordVectors(model.wv.index_to_key, torch.from_numpy(model.wv.vectors))


@pytest.mark.parametrize("method", ["skip_gram", "cbow"])
def test_word2vec_finds_the_planted_structure_as_gensim_does(seed: int, method: str):
    corpus = planted_corpus(seed % 1000)
    config = Word2VecConfig(method, d_model=16, window=4, min_count=1, subsample=0, n_epochs=4, batch_size=512)
    ours = train_word2vec(corpus, config)
    peer = gensim.models.Word2Vec(
        corpus, sg=method == "skip_gram", vector_size=16, window=4, min_count=1, sample=0, epochs=8, workers=1, seed=1
    )
    for vectors in (ours, as_ours(peer)):
        assert analogy_accuracy(vectors, planted_questions()).score > 0.9  # by chance 1 in 30
        assert similarity_score(vectors, planted_similarities()).score > 0.6


def test_glove_finds_the_planted_structure(seed: int):
    corpus = planted_corpus(seed % 1000)
    config = GloveConfig(d_model=16, window=4, min_count=1, n_epochs=25, batch_size=64, learning_rate=0.1)
    vectors = train_glove(corpus, config)
    assert analogy_accuracy(vectors, planted_questions()).score > 0.9
    assert similarity_score(vectors, planted_similarities()).score > 0.6


def test_the_negative_sampling_loss_equals_numpy(seed: int):
    torch.manual_seed(seed)
    model = Word2Vec(vocab_size=7, d_model=4).double()
    torch.nn.init.normal_(model.contexts.weight)
    torch.nn.init.normal_(model.words.weight)
    inputs = torch.tensor([[1, 2, 7, 7], [3, 7, 7, 7]])  # 7 is padding: the mean is over 2 words, and over 1
    target, negatives = torch.tensor([4, 5]), torch.tensor([[0, 4, 6], [1, 1, 2]])  # the first row draws its target 4
    v, u = model.words.weight.detach().numpy(), model.contexts.weight.detach().numpy()

    def sigmoid(x: float) -> float:
        return 1 / (1 + np.exp(-x))

    first = -np.log(sigmoid(u[4] @ (v[1] + v[2]) / 2)) - sum(np.log(sigmoid(-u[k] @ (v[1] + v[2]) / 2)) for k in (0, 6))
    second = -np.log(sigmoid(u[5] @ v[3])) - sum(np.log(sigmoid(-u[k] @ v[3])) for k in (1, 1, 2))
    assert model(inputs, target, negatives).tolist() == pytest.approx([first, second])


def test_windows_hold_the_words_within_the_radius_of_the_same_sentence(seed: int):
    rng = np.random.default_rng(seed)
    sentence = np.sort(rng.integers(0, 6, 30))
    tokens = rng.integers(0, 9, 30)
    near = windows(tokens, sentence, 3, padding=9, rng=np.random.default_rng(seed))
    radius = np.random.default_rng(seed).integers(1, 4, 30)
    for i in range(30):
        reach = range(max(0, i - radius[i]), min(30, i + radius[i] + 1))
        expected = Counter(tokens[j] for j in reach if j != i and sentence[j] == sentence[i])
        assert Counter(near[i][near[i] != 9]) == expected


def test_skip_gram_predicts_each_neighbour_and_cbow_the_word():
    tokens, near = np.array([5, 6, 7]), np.array([[9, 6], [5, 7], [9, 9]])
    inputs, target = examples(tokens, near, "skip_gram", padding=9)
    assert list(zip(inputs[:, 0].tolist(), target.tolist(), strict=True)) == [(5, 6), (6, 5), (6, 7)]
    inputs, target = examples(tokens, near, "cbow", padding=9)
    assert (inputs.tolist(), target.tolist()) == ([[9, 6], [5, 7]], [5, 6])


def test_frequent_words_are_thinned_out_and_rare_ones_kept():
    counts = np.array([90.0, 9.0, 1.0])
    keep = keep_probability(counts, subsample=0.01)
    assert keep.tolist() == pytest.approx([(0.01 / 0.9) ** 0.5 + 0.01 / 0.9, (0.01 / 0.09) ** 0.5 + 0.01 / 0.09, 1])
    assert keep_probability(counts, subsample=0).tolist() == [1, 1, 1]


def test_an_epoch_without_thinning_holds_every_token_with_its_neighbours(seed: int):
    corpus = [np.array([0, 1, 2]), np.array([3, 4])]
    config = Word2VecConfig("cbow", window=1, subsample=0, n_epochs=2, batch_size=2)
    steps = list(batches(corpus, np.ones(5), config, np.random.default_rng(seed)))
    seen = Counter(i for _, _, target in steps for i in target.tolist())
    assert seen == dict.fromkeys(range(5), 2)
    progress = [done for done, _, _ in steps]
    assert progress == sorted(progress)
    assert progress[0] == 0
    assert progress[-1] < 1


def test_cooccurrence_counts_equal_a_loop(seed: int):
    rng = np.random.default_rng(seed)
    corpus = [rng.integers(0, 5, rng.integers(1, 9)) for _ in range(6)]
    expected: Counter = Counter()
    for ids in corpus:
        for i, j in itertools.permutations(range(len(ids)), 2):
            if abs(i - j) <= 3:
                expected[ids[i], ids[j]] += 1 / abs(i - j)
    table = count_cooccurrence(corpus, 5, window=3)
    ours = dict(zip(zip(table.row, table.column, strict=True), table.count, strict=True))
    assert ours.keys() == expected.keys()
    assert all(ours[cell] == pytest.approx(expected[cell]) for cell in expected)


def test_the_glove_loss_worked_by_hand():
    predicted, count = torch.tensor([1.0, 2.0]), torch.tensor([16.0, 300.0])
    expected = [(16 / 100) ** 0.75 * (1 - np.log(16)) ** 2, (2 - np.log(300)) ** 2]
    assert weighted_squares(predicted, count, limit=100, power=0.75).tolist() == pytest.approx(expected)


def test_glove_recovers_a_table_of_its_own_kind(seed: int):
    """Counts made by exp(w·w̃ + b + b̃) have an exact solution: the loss goes to 0."""
    torch.manual_seed(seed)
    truth = Glove(8, 2)
    for table in truth.parameters():
        torch.nn.init.normal_(table, std=0.7)
    row, column = (grid.flatten() for grid in torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij"))
    count = truth(row, column).exp().detach()
    cells = count_cooccurrence([np.array([0, 1])], 8, 1)
    cells = type(cells)(row.numpy(), column.numpy(), count.double().numpy())
    losses = fit(Glove(8, 6), cells, GloveConfig(n_epochs=300, batch_size=8, count_limit=1.0, learning_rate=0.3))
    assert losses[-1] < 1e-2 * losses[0]


def test_row_adagrad_equals_torch_when_each_row_comes_alone(seed: int):
    torch.manual_seed(seed)
    start = torch.randn(6, 3)
    ours, peer = (torch.nn.Embedding.from_pretrained(start.clone(), freeze=False, sparse=s) for s in (True, False))
    optimizer = RowAdagrad(ours.parameters(), initial=0.5)
    reference = torch.optim.Adagrad(peer.parameters(), lr=0.1, initial_accumulator_value=0.5, eps=0)
    for _ in range(5):
        ids = torch.randperm(6)[:3]
        for table in (ours, peer):
            F.softplus(table(ids)).square().sum().backward()
        optimizer.step(0.1)
        reference.step()
        reference.zero_grad()
    torch.testing.assert_close(ours.weight, peer.weight)


def test_row_adagrad_counts_every_example_of_a_row_by_itself():
    """Two gradients of 3 on one row: squares 9 + 9, step 0.1 · (3 + 3) / √18."""
    table = torch.nn.Embedding.from_pretrained(torch.zeros(1, 1), freeze=False, sparse=True)
    optimizer = RowAdagrad(table.parameters(), initial=0.0)
    (3 * table(torch.tensor([0, 0]))).sum().backward()
    optimizer.step(0.1)
    assert table.weight.item() == pytest.approx(-0.1 * 6 / 18**0.5)
    assert table.weight.grad is None


def test_the_same_seed_gives_the_same_vectors():
    corpus = planted_corpus(0, n_sentences=50)
    configs = Word2VecConfig(min_count=1, n_epochs=1), GloveConfig(min_count=1, n_epochs=1)
    for train, config in zip((train_word2vec, train_glove), configs, strict=True):
        assert torch.equal(train(corpus, config).matrix, train(corpus, config).matrix)


def test_a_vocabulary_sorts_by_count_and_drops_or_joins_rare_words():
    sentences = [["b", "a", "b"], ["c", "b", "a"]]
    dropped = Vocabulary.from_sentences(sentences, min_count=2)
    assert (dropped.words, dropped.counts) == (["b", "a"], [3, 2])
    assert dropped.encode(["a", "c", "b"]) == [1, 0]
    joined = Vocabulary.from_sentences(sentences, min_count=2, unknown="<unk>")
    assert joined.decode(joined.encode(["a", "c", "new", "b"])) == ["a", "<unk>", "<unk>", "b"]
    assert joined.counts == [3, 2, 1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Word2VecConfig("glove"), ValueError, "there is no method 'glove'"),
        (lambda: Word2VecConfig(window=0), ValueError, "window must be at least 1; got 0"),
        (lambda: Word2VecConfig(subsample=-1), ValueError, "subsample must not be negative"),
        (lambda: Word2VecConfig(learning_rate=0), ValueError, "learning_rate must be above 0"),
        (lambda: GloveConfig(d_model=0), ValueError, "d_model must be at least 1"),
        (lambda: GloveConfig(count_limit=0), ValueError, "count_limit must be above 0"),
        (lambda: train_word2vec([["a", "b"]]), ValueError, "no word occurs 5 times in 2 words"),
        (lambda: train_glove([]), ValueError, "no word occurs 5 times in 0 words"),
        (lambda: train_word2vec(["a b"]), TypeError, "a sentence is a list of words; got the string 'a b'"),
        (lambda: train_word2vec([["a"]], Word2VecConfig(min_count=1)), ValueError, "no sentence holds two words"),
        (lambda: train_glove([["a"]], GloveConfig(min_count=1)), ValueError, "no sentence holds two words"),
        (
            lambda: train_glove([["a", "b"]] * 9, GloveConfig(min_count=1, learning_rate=1e30)),
            ValueError,
            "training diverged",
        ),
    ],
)
def test_wrong_input_is_refused_with_its_reason(call, error, message: str):
    with pytest.raises(error, match=message):
        call()


def real_sentences() -> list[list[str]]:
    """Three novels and the validation part of WikiText-2, some 440,000 words."""
    files = [*sorted((DATA / "gutenberg_books").glob("*.txt")), DATA / "wikitext2" / "valid.txt"]
    parts = [part for file in files for part in re.split(r"[.?!]\s|\n\s*\n", file.read_text("utf-8-sig"))]
    return [re.findall(r"[a-z]+", part.lower()) for part in parts]


@pytest.mark.long
@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_on_real_text_the_scores_stand_beside_those_of_gensim():
    """So small a corpus gives low scores; ours must be above chance, and not far below those of gensim."""
    sentences = real_sentences()
    lines = [line.split("\t") for line in (DATA / "wordsim353" / "wordsim353.tsv").read_text("utf-8").splitlines()]
    pairs = [(line[0].lower(), line[1].lower(), float(line[2])) for line in lines if not line[0].startswith("#")]
    lines = (DATA / "word_analogy" / "questions-words.txt").read_text("utf-8").lower().splitlines()
    questions = [tuple(line.split()) for line in lines if not line.startswith(":")]
    peer = gensim.models.Word2Vec(sentences, sg=1, vector_size=50, alpha=0.05, epochs=5, workers=1, seed=1)
    vectors = {
        "gensim": as_ours(peer),
        "ours": train_word2vec(sentences, Word2VecConfig(d_model=50)),
        "glove": train_glove(sentences, GloveConfig(d_model=50, n_epochs=8, count_limit=10)),
    }
    similarity = {name: similarity_score(v, pairs) for name, v in vectors.items()}
    analogy = {name: analogy_accuracy(v, questions) for name, v in vectors.items()}
    print(similarity, analogy, sep="\n")
    assert similarity["ours"].n_used == similarity["gensim"].n_used > 150
    assert similarity["ours"].score > max(0.1, similarity["gensim"].score - 0.1)
    assert similarity["glove"].score > similarity["gensim"].score - 0.2
    for name in ("ours", "glove"):
        assert analogy[name].score > analogy["gensim"].score - 0.02
    assert "mother" in [word for word, _ in vectors["ours"].nearest("sister", 20)]
