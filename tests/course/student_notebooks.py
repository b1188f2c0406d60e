"""Notebooks as students would hand them in, made from a release: right, wrong, broken."""

import json
from pathlib import Path

from lmlib.course import notebooks
from lmlib.course.assignment import Assignment, read

ROOT = Path(__file__).resolve().parents[2]
NAME = "02_core_concepts/02_attention"
RELEASE = ROOT / "exercises" / f"{NAME}.ipynb"


def attention_assignment() -> Assignment:
    return read(ROOT / "solutions" / f"{NAME}.py")


def right_answers(assignment: Assignment) -> dict[str, str]:
    """The reference answers, by the grade_id of their cells."""
    return {f"{name}-answer": question.answer for name, question in assignment.questions.items()}


def mistaken_answers(assignment: Assignment) -> list[tuple[dict[str, str], dict[str, list[str]]]]:
    """Answers to all questions with one known mistake each, until every mistake has been made; and their names."""
    return variant_answers(assignment, "mistake")


def variant_answers(assignment: Assignment, kind: str) -> list[tuple[dict[str, str], dict[str, list[str]]]]:
    """Answers to all questions with one variant of a kind each, until all have been used; and their names.

    A question with fewer of them than others is answered by the reference in the last ones.
    """
    most = max(len(question.variants[kind]) for question in assignment.questions.values())
    made = []
    for i in range(most):
        answers, names = right_answers(assignment), {}
        for name, question in assignment.questions.items():
            own = question.variants[kind][i : i + 1]
            names[name] = [variant.name for variant in own]
            for variant in own:  # below the right answer: some mistakes change only one of several values
                answers[f"{name}-answer"] += "\n" + variant.source
        made.append((answers, names))
    return made


def hand_in(path: Path, answers: dict[str, str], release: Path = RELEASE) -> Path:
    """Write a copy of the release with these answers."""
    nb = notebooks.read(release)
    for cell in nb["cells"]:
        name = cell["metadata"]["nbgrader"]["grade_id"]
        cell["source"] = answers.get(name, cell["source"])
    return write(path, nb)


def write(path: Path, nb: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(nb), "utf-8")
    return path


def released_notebook() -> dict:
    return notebooks.read(RELEASE)


def cell(nb: dict, grade_id: str) -> dict:
    return next(c for c in nb["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)
