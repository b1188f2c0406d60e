"""Texts that a model wrote: overlap with a reference (ROUGE), and how varied they are (distinct-n).

Source: Lin 2004; Li et al. 2016.
"""

from collections import Counter
from collections.abc import Sequence

from lmlib.evaluation.classification import Scores
from lmlib.evaluation.translation import ngrams
from lmlib.text.segments import segments


def rouge_n(summary: str, reference: str, n: int) -> Scores:
    """ROUGE-n: the n-grams that both have, with repetitions; Chinese by character, other scripts by word."""
    ours, theirs = (ngrams(segments(text), n) for text in (summary, _checked(reference)))
    return Scores.from_counts((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(summary: str, reference: str) -> Scores:
    """ROUGE-L: the longest sequence of tokens that both have in this order, gaps allowed."""
    ours, theirs = segments(summary), segments(_checked(reference))
    return Scores.from_counts(longest_common_subsequence(ours, theirs), len(ours), len(theirs))


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """The most tokens that can be picked from both in the same order."""
    before = [0] * (len(second) + 1)  # before[j]: the answer for what is read of `first` and for second[:j]
    for token in first:
        now = [0]
        for j, other in enumerate(second):
            now.append(before[j] + 1 if token == other else max(before[j + 1], now[j]))
        before = now
    return before[-1]


def distinct_n(texts: Sequence[str], n: int) -> float:
    """The share of different ones among all n-grams of the texts: low when a model repeats itself."""
    if isinstance(texts, str):
        raise ValueError("distinct_n takes a list of texts; put the one text into a list")
    grams = sum((ngrams(segments(text), n) for text in texts), Counter[tuple[str, ...]]())
    if not grams:
        raise ValueError(f"no text holds {n} tokens, so there is no {n}-gram to count")
    return len(grams) / grams.total()


def _checked(reference: str) -> str:
    if not segments(reference):
        raise ValueError(f"the reference holds no word: {reference!r}")
    return reference
