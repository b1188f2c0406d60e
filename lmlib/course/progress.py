"""What a student has solved, from the last `lmbook check` of each notebook in work/, and what to do next."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmlib.course import book, notebooks
from lmlib.course.checking import Result, released_assignments
from lmlib.course.errors import WorkFailedError
from lmlib.course.merge import answers_in

FILE = ".progress.json"


@dataclass(frozen=True)
class QuestionProgress:
    """One question: `score` is None when it was never checked; `begun` when the answer is not the stub."""

    assignment: str
    question: str
    score: float | None
    maximum: float
    minutes: int
    difficulty: int
    begun: bool
    changed: bool  # since the last check

    @property
    def solved(self) -> bool:
        """Whether the last check gave full points and nothing has changed since."""
        return self.score == self.maximum and not self.changed


def remember(result: Result, notebook: Path, base: Path) -> None:
    """Store the result of a check of a notebook in work/; one that lies elsewhere is not stored."""
    work = base / "work"
    if work.resolve() not in notebook.resolve().parents:
        return
    stored = _stored(work)
    answers = answers_in(notebooks.read(notebook))
    stored[result.assignment] = {
        question.question: {"score": question.score, "answer": answers.get(f"{question.question}-answer", "")}
        for question in result.questions
    }
    try:
        notebooks.write_atomically(work / FILE, json.dumps(stored, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise WorkFailedError(f"{work / FILE}: progress cannot be stored ({error.strerror})") from None


def progress(base: Path) -> list[QuestionProgress]:
    """All questions of all released assignments, in the order of the book."""
    work, rows = base / "work", []
    stored = _stored(work)
    for name, released in released_assignments(base).items():
        facts = json.loads(released.with_name(f"{released.stem}_checks.json").read_text("utf-8"))["questions"]
        handed_out = answers_in(notebooks.read(released))
        copy = _copy(work, name)
        now = answers_in(notebooks.read(copy)) if copy else {}
        for question, fact in facts.items():
            key = f"{question}-answer"
            answer, last = now.get(key, ""), stored.get(name, {}).get(question, {})
            rows.append(
                QuestionProgress(
                    assignment=name,
                    question=question,
                    score=last.get("score"),
                    maximum=float(fact["points"]),
                    minutes=fact["minutes"],
                    difficulty=fact["difficulty"],
                    begun=bool(answer.strip()) and answer != handed_out.get(key),
                    changed=bool(last) and answer != last["answer"],
                )
            )
    return rows


def _stored(work: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((work / FILE).read_text("utf-8")))
    except (FileNotFoundError, ValueError):
        return {}  # never checked, or damaged: the next check writes it anew


def _copy(work: Path, assignment: str) -> Path | None:
    found = [path for path in work.rglob(f"{assignment}.ipynb") if _is_copy(path, assignment)]
    return found[0] if found else None


def _is_copy(path: Path, assignment: str) -> bool:
    """Whether a notebook is a copy of the assignment: a chapter of the same name is not."""
    metadata = notebooks.read(path)["metadata"].get("lmbook", {})
    return isinstance(metadata, dict) and metadata.get("assignment") == assignment


def next_step(rows: list[QuestionProgress]) -> str:
    """What is worth doing next: what is begun, then what was changed, then the next new question of the book."""
    for row in rows:
        if row.changed and row.begun:
            return f"Check {row.assignment} again: your answer to {row.question} has changed since the last check."
    for row in rows:
        if row.begun and not row.solved:
            return f"Go on with {row.question} in {row.assignment}: {_state(row)}."
    for row in rows:
        if not row.solved:
            about = f"{row.maximum:g} points, about {row.minutes} minutes, difficulty {row.difficulty} of 5"
            return f"Next: {row.question} in {row.assignment} ({about})."
    return "Every question is solved." if rows else "No assignment has been released."


def _state(row: QuestionProgress) -> str:
    if row.score is None:
        return "not checked yet" if row.begun else "not begun"
    now = ", changed since" if row.changed else ""
    return f"{row.score:g} of {row.maximum:g} points{now}"


def show() -> None:
    """Print a table of all questions and what to do next."""
    rows = progress(book.root())
    width = max((len(row.question) for row in rows), default=0)
    for name in dict.fromkeys(row.assignment for row in rows):
        own = [row for row in rows if row.assignment == name]
        print(f"{name}: {sum(row.solved for row in own)} of {len(own)} questions solved")
        for row in own:
            print(f"  {'✓' if row.solved else '·'} {row.question:<{width}}  {_state(row)}")
    print(next_step(rows))
