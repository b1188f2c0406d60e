"""What shows that a check is worth its name: mistakes are caught and named, right answers accepted, mutants fail."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lmlib.course.assignment import AssignmentError, QuestionSource, Variant
from lmlib.course.mutants import Mutant, mutants
from lmlib.course.workbench import Workbench

MUTANT_SECONDS = 20  # a loop whose step is left out never ends


@dataclass
class Proof:
    """The row of one question in the table, and in `problems` what speaks against its check."""

    assignment: str
    question: str
    points: float
    mistakes: int
    named: int
    others: int
    accepted: int
    mutants: int
    failing: int
    equivalent: int
    problems: list[str] = field(default_factory=list)


def prove(bench: Workbench) -> list[Proof]:
    """Try each question's check on its mistakes, other right answers and mutants."""
    return [_prove(bench, question) for question in bench.assignment.questions.values()]


def _prove(bench: Workbench, question: QuestionSource) -> Proof:
    reference = bench.verdict(question.name)
    problems = [] if reference.score == reference.maximum else [f"the reference fails:\n{reference.text()}"]
    mistakes, others = question.variants["mistake"], question.variants["other"]
    unnamed = [problem for mistake in mistakes if (problem := _unnamed(bench, question.name, mistake))]
    refused = [problem for other in others if (problem := _refused(bench, question.name, other))]
    changed = mutants(question.answer)
    listed = [mutant for mutant in changed if mutant.is_listed(question.variants["equivalent"])]
    alive = [mutant for mutant in changed if _survives(bench, question.name, mutant)]
    survivors = [f"a mutant gets full points: {m.now} (was: {m.was})" for m in alive if m not in listed]
    wrong_listed = [f"a listed mutant is not equivalent: {m.now}" for m in listed if m not in alive]
    return Proof(
        assignment=bench.assignment.name,
        question=question.name,
        points=reference.maximum,
        mistakes=len(mistakes),
        named=len(mistakes) - len(unnamed),
        others=len(others),
        accepted=len(others) - len(refused),
        mutants=len(changed),
        failing=len(changed) - len(alive),
        equivalent=len(listed),
        problems=[*problems, *unnamed, *refused, *survivors, *wrong_listed, *_useless(question, changed)],
    )


def _unnamed(bench: Workbench, question: str, mistake: Variant) -> str:
    verdict = bench.verdict(question, mistake.source)
    if verdict.score == verdict.maximum:
        return f"the mistake {mistake.name} gets full points"
    named = list(verdict.mistakes)
    return "" if named == [mistake.name] else f"the mistake {mistake.name} is named as {named or 'nothing'}"


def _refused(bench: Workbench, question: str, other: Variant) -> str:
    verdict = bench.verdict(question, other.source)
    return "" if verdict.score == verdict.maximum else f"the right answer {other.name} fails:\n{verdict.text()}"


def _survives(bench: Workbench, question: str, mutant: Mutant) -> bool:
    """Whether a mutant gets full points. One that cannot even be run, or does not end, does not."""
    try:
        with _stopped_after(MUTANT_SECONDS):
            verdict = bench.verdict(question, mutant.source, alone=True)
    except (AssignmentError, _EndlessError):
        return False
    return verdict.score == verdict.maximum


class _EndlessError(BaseException):
    """A mutant was stopped. No Exception, which would count as what the answer raises."""


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Raise _EndlessError when the block takes longer, where the system has such an alarm (not on Windows)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _EndlessError

    before = signal.signal(signal.SIGALRM, stop)
    left, _ = signal.setitimer(signal.ITIMER_REAL, seconds)  # an alarm that somebody else waits for
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def _useless(question: QuestionSource, changed: list[Mutant]) -> list[str]:
    """Listed equivalents that no mutant is."""
    equivalents = question.variants["equivalent"]
    return [
        f"no mutant is what {variant.name} lists"
        for variant in equivalents
        if not any(m.is_listed([variant]) for m in changed)
    ]


def table(proofs: list[Proof]) -> str:
    """The proofs as a table in plain text."""
    wide = max([len("assignment"), *(len(p.assignment) for p in proofs)]) + 2
    narrow = max([len("question"), *(len(p.question) for p in proofs)]) + 2
    head = f"{'assignment':<{wide}}{'question':<{narrow}}{'points':>6}{'mistakes named':>16}{'others accepted':>17}"
    lines = [head + f"{'mutants failing':>17}{'equivalent':>12}"]
    for p in proofs:
        named, accepted = f"{p.named} of {p.mistakes}", f"{p.accepted} of {p.others}"
        failing = f"{p.failing} of {p.mutants}"
        lines.append(
            f"{p.assignment:<{wide}}{p.question:<{narrow}}{p.points:>6g}"
            f"{named:>16}{accepted:>17}{failing:>17}{p.equivalent:>12}"
        )
    return "\n".join(lines)
