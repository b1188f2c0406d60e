"""BLEU and chrF against sacrebleu; answers, ROUGE and distinct-n against numbers worked by hand and other programs."""

import difflib
import functools
import random

import pytest
import sacrebleu
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

from lmlib.evaluation.generation import distinct_n, longest_common_subsequence, rouge_l, rouge_n
from lmlib.evaluation.question_answering import (
    cmrc_exact_match,
    cmrc_f1,
    longest_common_run,
    squad_exact_match,
    squad_f1,
)
from lmlib.evaluation.translation import bleu, chrf, sentence_bleu, tokenize_13a, tokenize_zh

PIECES = [
    "the",
    "cat",
    "sat",
    "on",
    "3.5",
    "1,000",
    "U.S.",
    "don't",
    "well-known",
    "9-5",
    "...",
    "&quot;",
    "a&amp;b",
    "(",
    "¿",
]
CHINESE = [*"我们在北京看到了一只猫，。！“”（）《》—…", "GPT-4", "3.5", " ", "%", "$5"]


def random_sentences(draw: random.Random, pieces: list[str], joint: str, n: int) -> list[str]:
    return [joint.join(draw.choices(pieces, k=draw.randint(0, 14))) for _ in range(n)]


def random_corpus(seed: int, pieces: list[str], joint: str) -> tuple[list[str], list[list[str]]]:
    """Translations, and two references for each: a changed copy and something else."""
    draw = random.Random(seed)
    translations = random_sentences(draw, pieces, joint, 8)
    near = [joint.join(piece for piece in pieces_of(t, joint) if draw.random() < 0.8) for t in translations]
    return translations, [list(pair) for pair in zip(near, random_sentences(draw, pieces, joint, 8), strict=True)]


def pieces_of(text: str, joint: str) -> list[str]:
    return text.split(joint) if joint else list(text)


def test_13a_splits_as_sacrebleu_does(seed: int):
    draw = random.Random(seed)
    signs = [chr(i) for i in range(32, 127)] + ["\n", "é", "。", "&lt;", "<skipped>"]
    lines = random_sentences(draw, PIECES, " ", 100) + random_sentences(draw, signs, "", 300)
    for line in lines:
        assert tokenize_13a(line) == Tokenizer13a()(line.rstrip()).split()


def test_zh_sets_the_same_characters_apart_as_sacrebleu():
    oracle = TokenizerZh()
    for code in (*range(32, 0xD800), *range(0xE000, 0x10000), 0x20000, 0x2A6D6, 0x1F600):
        text = f"a{chr(code)}b"
        assert tokenize_zh(text) == oracle(text).split(), hex(code)


def test_bleu_equals_that_of_sacrebleu(seed: int):
    for i in range(20):
        translations, references = random_corpus(seed + i, PIECES, " ")
        reference = sacrebleu.corpus_bleu(translations, list(zip(*references, strict=True)))
        ours = bleu(translations, references)
        assert ours.score == pytest.approx(reference.score)
        assert ours.brevity_penalty == pytest.approx(reference.bp)
        assert (ours.n_tokens, ours.n_reference_tokens) == (reference.sys_len, reference.ref_len)
        assert ours.precisions == pytest.approx(reference.precisions)


def test_chinese_bleu_equals_that_of_sacrebleu(seed: int):
    translations, references = random_corpus(seed, CHINESE, "")
    reference = sacrebleu.corpus_bleu(translations, list(zip(*references, strict=True)), tokenize="zh")
    assert bleu(translations, references, tokenize_zh).score == pytest.approx(reference.score)


def test_sentence_bleu_equals_that_of_sacrebleu(seed: int):
    for i in range(10):
        for translation, references in zip(*random_corpus(seed + i, PIECES, " "), strict=True):
            reference = sacrebleu.sentence_bleu(translation, references)
            assert sentence_bleu(translation, references).score == pytest.approx(reference.score)


def test_a_perfect_translation_scores_100_and_one_without_a_hit_0():
    sentence = "the cat sat on the mat"
    assert bleu([sentence], [[sentence]]).score == pytest.approx(100)
    assert chrf([sentence], [[sentence]]) == pytest.approx(100)
    assert bleu(["dog"], [[sentence]]).score == 0
    assert bleu([""], [[sentence]]).score == 0


@pytest.mark.parametrize(("pieces", "joint"), [(PIECES, " "), (CHINESE, "")])
def test_chrf_equals_that_of_sacrebleu(seed: int, pieces: list[str], joint: str):
    for i in range(10):
        translations, references = random_corpus(seed + i, pieces, joint)
        reference = sacrebleu.corpus_chrf(translations, list(zip(*references, strict=True)))
        assert chrf(translations, references) == pytest.approx(reference.score)


def test_squad_scores_worked_by_hand():
    assert squad_exact_match("The  Eiffel-Tower!", ["a tower", "eiffeltower"])
    assert not squad_exact_match("Eiffel Tower", ["Tower"])
    # words: in paris in france; of the answer: in paris in. Shared 3: P = 3/4, R = 1, F = 6/7.
    assert squad_f1("in Paris, in France", ["Berlin", "in the Paris in"]) == pytest.approx(6 / 7)
    assert squad_f1("Rome", ["Paris"]) == 0
    assert squad_f1("", ["the"]) == 1  # nothing is left on either side


def test_cmrc_scores_worked_by_hand():
    assert cmrc_exact_match(" 《红楼梦》。", ["红楼梦"])
    assert not cmrc_exact_match("红楼", ["红楼梦"])
    # 在北京大学 and 北京的大学: the longest run is 北京 (or 大学), 2 of 5 tokens on both sides.
    assert cmrc_f1("在北京大学", ["北京的大学"]) == pytest.approx(0.4)
    assert cmrc_f1("GPT 3.5，模型", ["gpt 3.5"]) == pytest.approx(2 * 2 / (4 + 2))
    assert cmrc_f1("猫", ["狗"]) == 0


def test_the_longest_run_equals_that_of_difflib(seed: int):
    draw = random.Random(seed)
    for _ in range(50):
        first, second = ("".join(draw.choices("abc", k=draw.randint(0, 12))) for _ in range(2))
        match = difflib.SequenceMatcher(None, first, second, autojunk=False).find_longest_match()
        assert longest_common_run(first, second) == match.size


def test_the_longest_subsequence_equals_the_recursive_definition(seed: int):
    def definition(first: str, second: str) -> int:
        @functools.cache
        def of(i: int, j: int) -> int:
            if i == len(first) or j == len(second):
                return 0
            if first[i] == second[j]:
                return 1 + of(i + 1, j + 1)
            return max(of(i + 1, j), of(i, j + 1))

        return of(0, 0)

    draw = random.Random(seed)
    for _ in range(30):
        first, second = ("".join(draw.choices("abc", k=draw.randint(0, 12))) for _ in range(2))
        assert longest_common_subsequence(first, second) == definition(first, second)


def test_rouge_worked_by_hand():
    summary, reference = "The cat, the cat sat.", "the cat sat down"
    one = rouge_n(summary, reference, 1)  # shared: the, cat, sat
    assert (one.precision, one.recall, one.f1) == pytest.approx((3 / 5, 3 / 4, 2 / 3))
    two = rouge_n(summary, reference, 2)  # shared: "the cat", "cat sat"
    assert (two.precision, two.recall, two.f1) == pytest.approx((2 / 4, 2 / 3, 4 / 7))
    longest = rouge_l("sat the cat down", reference)  # "the cat down"
    assert (longest.precision, longest.recall, longest.f1) == pytest.approx((3 / 4, 3 / 4, 3 / 4))


def test_rouge_counts_chinese_by_character():
    scores = rouge_n("北京大学。", "北京的大学", 1)
    assert (scores.precision, scores.recall) == pytest.approx((1, 4 / 5))
    assert rouge_n("", "北京", 1).f1 == 0


def test_distinct_n_worked_by_hand():
    assert distinct_n(["a b a b", "a b c"], 1) == pytest.approx(3 / 7)
    assert distinct_n(["a b a b", "a b c"], 2) == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bleu(["a", "b"], [["a"]]), "got 2 translations and 1 lists"),
        (lambda: bleu([], []), "got 0 translations"),
        (lambda: bleu(["a b"], ["a b"]), "references of one translation are a list"),
        (lambda: chrf(["a"], [[]]), "with one at least"),
        (lambda: squad_f1("a", []), "a list of accepted answers"),
        (lambda: cmrc_exact_match("a", "a"), "a list of accepted answers"),
        (lambda: rouge_l("a", "..."), "the reference holds no word"),
        (lambda: distinct_n("a b", 1), "put the one text into a list"),
        (lambda: distinct_n(["a"], 2), "no 2-gram"),
    ],
)
def test_wrong_input_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
