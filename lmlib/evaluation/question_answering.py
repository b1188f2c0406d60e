"""Answers to questions: exact match and F1 by the rules of SQuAD (English) and of CMRC 2018 (Chinese).

Each function compares one prediction with all accepted answers, and the best counts; average over questions yourself.
Source: Rajpurkar et al. 2016, section 6.1; Cui et al. 2019, section 4.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

from lmlib.evaluation.classification import Scores
from lmlib.text.segments import CHINESE

ARTICLES = re.compile(r"\b(a|an|the)\b")
CMRC_IGNORED = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
CMRC_TOKEN = re.compile(rf"[{CHINESE}]|\d+(?:\.\d+)+|[^\W{CHINESE}]+|[^\w\s]")


def squad_exact_match(prediction: str, answers: Sequence[str]) -> bool:
    """Equal to some answer once case, ASCII punctuation, English articles and extra spaces are gone."""
    return any(_squad_words(prediction) == _squad_words(answer) for answer in _checked(answers))


def squad_f1(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 of the words shared with an answer, counted with repetitions."""
    return _best(prediction, answers, _squad_words, lambda ours, theirs: (Counter(ours) & Counter(theirs)).total())


def cmrc_exact_match(prediction: str, answers: Sequence[str]) -> bool:
    """Equal to some answer once case and the punctuation that CMRC ignores are gone."""
    plain = [text.strip().lower().translate(CMRC_IGNORED) for text in (prediction, *_checked(answers))]
    return plain[0] in plain[1:]


def cmrc_f1(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 of the longest run of tokens shared with an answer; each Chinese character is a token."""
    return _best(prediction, answers, _cmrc_tokens, longest_common_run)


def _best(
    prediction: str,
    answers: Sequence[str],
    split: Callable[[str], list[str]],
    overlap: Callable[[list[str], list[str]], int],
) -> float:
    ours, scores = split(prediction), []
    for theirs in map(split, _checked(answers)):
        empty = not ours and not theirs  # "no answer" given and expected
        scores.append(1.0 if empty else Scores.from_counts(overlap(ours, theirs), len(ours), len(theirs)).f1)
    return max(scores)


def _squad_words(text: str) -> list[str]:
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return ARTICLES.sub(" ", text).split()


def _cmrc_tokens(text: str) -> list[str]:
    return CMRC_TOKEN.findall(text.lower().translate(CMRC_IGNORED))


def longest_common_run(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest piece, without gaps, that is in both."""
    best, before = 0, [0] * (len(second) + 1)
    for token in first:
        now = [0] * (len(second) + 1)  # now[j + 1]: the run that ends at this token and at second[j]
        for j, other in enumerate(second):
            if token == other:
                now[j + 1] = before[j] + 1
        best, before = max(best, *now), now
    return best


def _checked(answers: Sequence[str]) -> Sequence[str]:
    if isinstance(answers, str) or not answers:
        raise ValueError(f"a list of accepted answers is needed, with one at least; got {answers!r}")
    return answers
