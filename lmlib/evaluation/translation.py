"""Translations against references: BLEU and chrF, with the tokenisation that makes scores comparable.

Source: Papineni et al. 2002; Popović 2015; Post 2018, whose `sacrebleu` defines the tokenisation.
"""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Tokenizer = Callable[[str], list[str]]
References = Sequence[Sequence[str]]  # for each translation, one or more references

LONGEST_NGRAM = 4
LONGEST_CHRF_NGRAM = 6
RECALL_WEIGHT = 2.0  # chrF: recall counts this much more than precision

ENTITIES = {"&quot;": '"', "&amp;": "&", "&lt;": "<", "&gt;": ">"}
RULES_13A = [
    (re.compile("([" + re.escape("".join(set(string.punctuation) - set("',-."))) + "])"), r" \1 "),
    (re.compile(r"([^0-9])([.,])"), r"\1 \2 "),  # a point or comma stays only between digits
    (re.compile(r"([.,])([^0-9])"), r" \1 \2"),
    (re.compile(r"([0-9])(-)"), r"\1 \2 "),
]
# What sacrebleu's "zh" sets apart: ideographs, their punctuation and full-width signs. The first range, from general
# punctuation to mathematical signs, comes from two bounds that its program writes with one digit too many.
APART_ZH = re.compile(
    "([\u2001-\u2a6d\u2e80-\u2fdf\u2ff0-\u303f\u3100-\u312f\u31a0-\u31ef\u3200-\u4db5\u4e00-\u9fbb"
    "\uf900-\ufa2d\ufa30-\ufa6a\ufa70-\ufad9\ufe10-\ufe1f\ufe30-\ufe4f\uff00-\uffef])"
)


def tokenize_13a(text: str) -> list[str]:
    """Words and signs apart, as the program mteval-v13a of the translation contests does it."""
    text = text.rstrip().replace("<skipped>", "").replace("-\n", "").replace("\n", " ")
    for entity, sign in ENTITIES.items():
        text = text.replace(entity, sign)
    return _by_rules(f" {text} ")


def tokenize_zh(text: str) -> list[str]:
    """Chinese characters and signs one by one, the rest as in `tokenize_13a`."""
    return _by_rules(APART_ZH.sub(r" \1 ", text.strip()))


def _by_rules(text: str) -> list[str]:
    for pattern, replacement in RULES_13A:
        text = pattern.sub(replacement, text)
    return text.split()


@dataclass(frozen=True)
class Bleu:
    """The score, 0 to 100, and what it is made of."""

    score: float
    precisions: list[float]  # of n-grams, n = 1..4, in percent
    brevity_penalty: float
    n_tokens: int
    n_reference_tokens: int


def bleu(translations: Sequence[str], references: References, tokenize: Tokenizer = tokenize_13a) -> Bleu:
    """BLEU of a whole corpus: counts are summed over sentences first, then divided."""
    return _bleu(translations, references, tokenize, LONGEST_NGRAM)


def sentence_bleu(translation: str, references: Sequence[str], tokenize: Tokenizer = tokenize_13a) -> Bleu:
    """BLEU of one sentence; n-grams longer than the translation are left out. Too rough to compare systems."""
    longest = min(LONGEST_NGRAM, max(1, len(tokenize(translation))))
    return _bleu([translation], [references], tokenize, longest)


def _bleu(translations: Sequence[str], references: References, tokenize: Tokenizer, longest: int) -> Bleu:
    _check_corpus(translations, references)
    hits, totals = [0] * longest, [0] * longest
    n_tokens = n_reference_tokens = 0
    for translation, accepted in zip(translations, references, strict=True):
        ours, theirs = tokenize(translation), [tokenize(reference) for reference in accepted]
        n_tokens += len(ours)
        n_reference_tokens += min((abs(len(ours) - len(r)), len(r)) for r in theirs)[1]  # the nearest in length
        for n in range(1, longest + 1):
            grams, most = ngrams(ours, n), Counter[tuple[str, ...]]()
            for reference in theirs:
                most |= ngrams(reference, n)  # an n-gram is right as often as some reference has it
            hits[n - 1] += (grams & most).total()
            totals[n - 1] += grams.total()
    precisions = _precisions(hits, totals)
    penalty = math.exp(min(0.0, 1 - n_reference_tokens / n_tokens)) if n_tokens else 0.0
    mean = math.exp(sum(math.log(p) for p in precisions) / longest) if all(precisions) else 0.0
    return Bleu(penalty * mean, precisions, penalty, n_tokens, n_reference_tokens)


def _precisions(hits: list[int], totals: list[int]) -> list[float]:
    """In percent. Where n-grams have no hit they count half a hit, then a quarter ... unless there is no hit at all.

    Source: the smoothing of mteval-v13a; Chen & Cherry 2014, method 3.
    """
    precisions, part = [], 1.0
    for hit, total in zip(hits, totals, strict=True):
        if hit == 0 and total and any(hits):
            part /= 2
            precisions.append(100 * part / total)
        else:
            precisions.append(100 * hit / total if total else 0.0)
    return precisions


def chrf(translations: Sequence[str], references: References) -> float:
    """chrF2, 0 to 100: F over character n-grams, n = 1..6, spaces left out. It needs no tokenizer."""
    _check_corpus(translations, references)
    counts = [(0, 0, 0)] * LONGEST_CHRF_NGRAM
    for translation, accepted in zip(translations, references, strict=True):
        of_each = [_character_counts(translation, reference) for reference in accepted]
        best = max(of_each, key=_chrf_of_counts)
        counts = [(a + x, b + y, c + z) for (a, b, c), (x, y, z) in zip(counts, best, strict=True)]
    return _chrf_of_counts(counts)


def _character_counts(translation: str, reference: str) -> list[tuple[int, int, int]]:
    """For each n: n-grams that agree, of the translation, of the reference."""
    ours, theirs = "".join(translation.split()), "".join(reference.split())
    counts = []
    for n in range(1, LONGEST_CHRF_NGRAM + 1):
        a, b = ngrams(ours, n), ngrams(theirs, n)
        counts.append(((a & b).total(), a.total() if b else 0, b.total()))
    return counts


def _chrf_of_counts(counts: list[tuple[int, int, int]]) -> float:
    present = [(hits, ours, theirs) for hits, ours, theirs in counts if ours and theirs]
    if not any(hits for hits, _, _ in present):
        return 0.0
    precision = sum(hits / ours for hits, ours, _ in present) / len(present)
    recall = sum(hits / theirs for hits, _, theirs in present) / len(present)
    weight = RECALL_WEIGHT**2
    return 100 * (1 + weight) * precision * recall / (weight * precision + recall)


def ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    """How often each run of n tokens occurs."""
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def _check_corpus(translations: Sequence[str], references: References) -> None:
    if isinstance(translations, str) or len(translations) != len(references) or not translations:
        raise ValueError(
            "a list of translations and, for each of them, a list of references are needed; "
            f"got {len(translations)} translations and {len(references)} lists"
        )
    for accepted in references:
        if isinstance(accepted, str) or not accepted:
            raise ValueError(f"the references of one translation are a list, with one at least; got {accepted!r}")
