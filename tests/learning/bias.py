"""Bias: WEAT on vectors trained on real text, CrowS-Pairs of a model trained on it, and planted bias found again.

Real: word vectors (skip-gram) and a trigram model of 1.5 million words: books, articles of Wikipedia, Shakespeare, film
reviews, scientific abstracts and single sentences. Planted: worlds in which of
the women (1 + b) / 2, of the men (1 - b) / 2 have a trade of the first group; vectors and a small language model of
each world are asked which trades go with women.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import torch

from lmlib.data import world
from lmlib.data.batching import Loader, Windows
from lmlib.data.tasks import bias as word_lists
from lmlib.data.tasks import classification, language_modelling, summarisation, translation
from lmlib.data.world import World
from lmlib.interpret.crows_pairs import preferences
from lmlib.interpret.template_bias import causal_score, template_bias
from lmlib.interpret.weat import Effect, weat
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.ngram import KneserNey
from lmlib.models.word2vec import Word2VecConfig, train_word2vec
from lmlib.models.word_vectors import WordVectors
from lmlib.text.vocabulary import Vocabulary
from lmlib.training import TrainingConfig, set_seed, train

WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*|\d+|[^\w\s]")
# Targets X and Y, attributes A and B, by their names in the lists of Caliskan et al. 2017; in brackets their numbers.
TESTS = {
    "flowers / insects, pleasant / unpleasant (1)": ("flowers", "insects", "pleasant_5", "unpleasant_5a"),
    "instruments / weapons, pleasant / unpleasant (2)": ("instruments", "weapons", "pleasant_5", "unpleasant_5a"),
    "male / female names, career / family (6)": ("male_names", "female_names", "career", "family"),
    "maths / arts, male / female words (7)": ("math", "arts", "male_terms", "female_terms"),
    "science / arts, male / female words (8)": ("science", "arts_2", "male_terms_2", "female_terms_2"),
}
WOMEN = ("she", "her", "mother", "daughter", "sister", "wife")
MEN = ("he", "his", "father", "son", "brother", "husband")
TEMPLATES = ("by trade , {target} is a {attribute} .",)  # as profiles say it: of a name, never of a pronoun
N_NAMES = 20  # of women and of men, in templates
CONTEXT = 48
MIN_COUNT = 3  # of a word that gets a vector: of rarer flowers and instruments the text knows nothing
N_PROFILES = 800  # of each world


def words(text: str) -> list[str]:
    """Lower-case words and punctuation."""
    return WORD.findall(text.lower())


def real_sentences() -> list[list[str]]:
    """Paragraphs, and shorter texts as they are."""
    long = (language_modelling.load(name) for name in ("gutenberg_books", "wikitext2", "tiny_shakespeare"))
    parts = [part for text in all_of(*long) for part in re.split(r"\n\s*\n|\n(?= )", text.text)]
    parts += [one.text for one in all_of(classification.load("sentence_polarity"), summarisation.load("scitldr"))]
    parts += [one.source for one in all_of(translation.load("tatoeba_en_zh"))]
    return [one for one in map(words, parts) if len(one) > 1]


def all_of(*corpora: Mapping[str, Sequence[Any]]) -> list[Any]:
    """The records of all splits."""
    return [record for splits in corpora for split in splits.values() for record in split]


def weat_of(vectors: WordVectors, names: tuple[str, str, str, str], counts: dict[str, int]) -> tuple[int, int, Effect]:
    """How many targets and attributes have vectors, and the effect; of the longer side the most frequent are taken."""
    lists = word_lists.weat()
    known = [sorted({w.lower() for w in lists[n]} & counts.keys(), key=lambda w: -counts[w]) for n in names]
    n_targets, n_attributes = min(map(len, known[:2])), min(map(len, known[2:]))
    x, y, a, b = (side[:n] for side, n in zip(known, (n_targets,) * 2 + (n_attributes,) * 2, strict=True))
    return n_targets, n_attributes, weat(vectors, x, y, a, b)


def show_weat(sentences: list[list[str]], seeds: Sequence[int]) -> None:
    """The table of effects, the median over seeds and from lowest to highest."""
    counts = dict(zip(*_counted(sentences), strict=True))
    trained = [train_word2vec(sentences, Word2VecConfig(min_count=MIN_COUNT, n_epochs=5, seed=seed)) for seed in seeds]
    print("\n| WEAT on vectors trained here | targets | attributes | effect: median (lowest to highest) | p |")
    print("| --- | --- | --- | --- | --- |")
    for name, lists in TESTS.items():
        found = [weat_of(vectors, lists, counts) for vectors in trained]
        sizes = [one.size for *_, one in found]
        spread = f"{median(sizes):.2f} ({min(sizes):.2f} to {max(sizes):.2f})"
        p = median(one.p for *_, one in found)
        print(f"| {name} | 2 × {found[0][0]} | 2 × {found[0][1]} | {spread} | {p:.3f} |", flush=True)


def _counted(sentences: list[list[str]]) -> tuple[list[str], list[int]]:
    vocabulary = Vocabulary.from_sentences(sentences, min_count=MIN_COUNT)
    return vocabulary.words, vocabulary.counts


def show_crows_pairs(sentences: list[list[str]]) -> None:
    """The share of pairs in which a trigram model finds the stereotype likelier, with its interval of 95 %."""
    vocabulary = Vocabulary.from_sentences(sentences, min_count=2, unknown="<unk>")
    model = KneserNey([vocabulary.encode(one) for one in sentences], 3, len(vocabulary))

    def score(sentence: str) -> float:
        return float(model.log_probabilities(vocabulary.encode(words(sentence))).sum())

    pairs = [(one.more, one.less, one.bias_type) for one in word_lists.crows_pairs()["test"]]
    print("\n| CrowS-Pairs of a trigram model | pairs | prefers the stereotype | interval (95 %) | ties |")
    print("| --- | --- | --- | --- | --- |")
    for kind, one in preferences(pairs, lambda first, second: (score(first), score(second))).items():
        low, high = one.interval
        print(f"| {kind} | {one.n} | {one.share:.3f} | {low:.3f} to {high:.3f} | {one.n_ties} |", flush=True)


def planted_vectors(source: World, sentences: list[list[str]], seed: int) -> tuple[Effect, Effect]:
    """WEAT of the trades of both groups, on vectors of a world's profiles: with words for women and men, and names."""
    config = Word2VecConfig(d_model=32, min_count=3, n_epochs=4, learning_rate=0.1, seed=seed)
    vectors = train_word2vec(sentences, config)
    first, second = known_trades(source, vectors.words)
    women, men = known_names(source, vectors.words)
    return weat(vectors, first, second, WOMEN, MEN), weat(vectors, first, second, women, men)


def known_names(source: World, known: Sequence[str]) -> tuple[list[str], list[str]]:
    """The first names of women and of men that a model knows."""
    names: dict[bool, list[str]] = {True: [], False: []}
    for person in source.people:
        if person.name.en.lower() in set(known):
            names[person.female].append(person.name.en.lower())
    return names[True], names[False]


def known_trades(source: World, known: Sequence[str]) -> tuple[list[str], list[str]]:
    """The trades of one word of both groups that a model knows, as many of each."""
    first, second = ([trade for trade in group if trade in set(known)] for group in source.population.groups)
    n = min(len(first), len(second))
    return first[:n], second[:n]


def planted_templates(source: World, sentences: list[list[str]], seed: int, steps: int) -> Effect:
    """Template bias of a small GPT-2 trained on a world's profiles; in nats, names of women against those of men."""
    vocabulary = Vocabulary.from_sentences(sentences, min_count=2, unknown="<unk>")
    ids = torch.tensor([i for one in sentences for i in vocabulary.encode(one)])
    set_seed(seed)
    model = Gpt2(Gpt2Config(len(vocabulary), 96, 2, 4, CONTEXT, initializer_std=0.1), "language_model")
    batches = Loader(Windows(ids, CONTEXT), 16, lambda rows: dict.fromkeys(("input_ids", "labels"), torch.stack(rows)))
    config = TrainingConfig(steps, learning_rate=5e-3, warmup_steps=steps // 10, device="cpu", seed=seed)
    train(model, batches, config)
    score = causal_score(model, lambda text: vocabulary.encode(text.split()))
    trades = known_trades(source, vocabulary.words)
    women, men = known_names(source, vocabulary.words)
    return template_bias(score, TEMPLATES, (women[:N_NAMES], men[:N_NAMES]), trades)


def show_planted(strengths: Sequence[float], seeds: Sequence[int], steps: int) -> None:
    """Measured against planted bias; in a cell one number for each seed of world, vectors and model."""
    print("\n| planted b | WEAT, pronouns and kin | WEAT, first names | template difference (nats) |")
    print("| --- | --- | --- | --- |")
    for strength in strengths:
        rows = []
        for seed in seeds:
            source = world.make(seed=seed, size="large", bias=strength)
            sentences = [words(one.text) for one in source.profiles(N_PROFILES)]
            by_words, by_names = planted_vectors(source, sentences, seed)
            by_templates = planted_templates(source, sentences, seed, steps)
            rows.append((by_words.size, by_names.size, by_templates.difference))
        cells = (" ".join(f"{value:+.2f}" for value in column) for column in zip(*rows, strict=True))
        print(f"| {strength:+.1f} | {' | '.join(cells)} |", flush=True)


def run(arguments: Sequence[str]) -> None:
    """Print the three tables, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.learning bias", description=__doc__)
    parser.add_argument("--tables", nargs="+", default=["weat", "crows_pairs", "planted"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strengths", type=float, nargs="+", default=[-1.0, -0.5, 0.0, 0.5, 1.0])
    parser.add_argument("--steps", type=int, default=2000, help="of training, of each small language model")
    given = parser.parse_args(arguments)
    if {"weat", "crows_pairs"} & set(given.tables):
        sentences = real_sentences()
        print(f"real text: {sum(map(len, sentences)):,} words")
        if "crows_pairs" in given.tables:
            show_crows_pairs(sentences)
        if "weat" in given.tables:
            show_weat(sentences, given.seeds)
    if "planted" in given.tables:
        show_planted(given.strengths, given.seeds, given.steps)
