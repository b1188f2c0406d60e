"""Named entities: a span counts when its type and both its ends are right. Source: Tjong Kim Sang & De Meulder 2003."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lmlib.evaluation.classification import Scores, check_average, macro_f1, scores_by_kind

OUTSIDE = "O"


class Span(NamedTuple):
    """Tokens start..end-1 are one entity of this kind."""

    kind: str
    start: int
    end: int


def spans(tags: Sequence[str]) -> list[Span]:
    """The entities of BIO tags. An I- that continues nothing of its kind starts an entity, as in conlleval."""
    found: list[Span] = []
    kind, start = "", 0  # the open entity; "" when there is none
    for i, tag in enumerate([*tags, OUTSIDE]):
        part, here = _parse(tag)
        if part == "I" and here == kind:
            continue
        if kind:
            found.append(Span(kind, start, i))
        kind, start = here, i
    return found


def _parse(tag: str) -> tuple[str, str]:
    part, _, kind = tag.partition("-")
    if tag != OUTSIDE and (part not in ("B", "I") or not kind):
        raise ValueError(f"a tag is O, B-KIND or I-KIND; got {tag!r}")
    return part, kind


def span_scores(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> dict[str, Scores]:
    """Precision, recall and F1 of each kind of entity over sentences of BIO tags."""
    return scores_by_kind(*_count(predicted, true))


def span_f1(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]], average: str = "micro") -> float:
    """F1 over all spans ("micro"), or the mean of the kinds' F1 ("macro"); 0 where there are no spans at all."""
    check_average(average)
    if average == "macro":
        return macro_f1(span_scores(predicted, true).values())
    return Scores.from_counts(*(count.total() for count in _count(predicted, true))).f1


def _count(predicted: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> tuple[Counter, Counter, Counter]:
    """Hits, predictions and true spans, by kind."""
    if len(predicted) != len(true) or not true:
        raise ValueError(f"as many sentences on both sides, and one at least; got {len(predicted)} and {len(true)}")
    hits, n_predicted, n_true = Counter[str](), Counter[str](), Counter[str]()
    for i, (guess, truth) in enumerate(zip(predicted, true, strict=True)):
        if isinstance(guess, str) or isinstance(truth, str):
            raise ValueError("a sentence is a list of tags; got a string. Put one sentence into a list")
        if len(guess) != len(truth):
            raise ValueError(f"sentence {i} has {len(truth)} true tags and {len(guess)} predicted ones")
        ours, theirs = spans(guess), spans(truth)
        hits.update(span.kind for span in set(ours) & set(theirs))
        n_predicted.update(span.kind for span in ours)
        n_true.update(span.kind for span in theirs)
    return hits, n_predicted, n_true
