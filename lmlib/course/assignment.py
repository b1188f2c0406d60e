"""An assignment as its instructor's notebook states it; each cell's role follows from its name or its magic.

For the question `scores`:
- `scores`, markdown with `question={"points": 4, ...}`: the statement; its heading is the question's title
- `scores-answer`: the reference solution, between ### BEGIN SOLUTION and ### END SOLUTION
- `scores-check`: the call of `check`; `scores-hint-1`, `-2`, markdown: the hints
- `scores-parts`: the parts of the check; those of all questions make one module
- `%%mistake scores`, `%%other scores`: a wrong and another right answer, as the whole answer cell would be;
  the comment below the magic is the sentence said to the mistake, or says what is different
- `%%equivalent scores`: mutated lines that are still right, with the reason as comment
Cells with the tag `instructor` are for the instructor only; every other cell is released as it is.
"""

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lmlib.course import book, notebooks
from lmlib.course.errors import CourseError

VARIANTS = ("mistake", "other", "equivalent")
QUESTION_KEYS = ("points", "difficulty", "minutes", "section")
IMPORT = "from lmlib.course.checks import check"  # in each check cell
MISTAKES, OTHERS = 3, 2  # that a question has at least


class AssignmentError(CourseError):
    """An instructor's notebook that is no valid assignment, with the reason and what to do."""


@dataclass(frozen=True)
class Variant:
    """A mistake, another right answer, or mutated lines that are still right, with its sentence."""

    name: str
    says: str
    source: str


@dataclass
class QuestionSource:
    """All that the notebook says about one question."""

    name: str
    title: str
    facts: dict[str, Any]  # points, difficulty, minutes, section
    answer: str = ""
    hints: list[str] = field(default_factory=list)
    variants: dict[str, list[Variant]] = field(default_factory=lambda: {kind: [] for kind in VARIANTS})


@dataclass
class Assignment:
    """An instructor's notebook, read: `name` is CHAPTER/NAME, `cells` are its cells in order."""

    name: str
    path: Path
    cells: list[dict[str, Any]]
    questions: dict[str, QuestionSource]

    @property
    def stem(self) -> str:
        """The name without the chapter: '02_attention'."""
        return self.name.rpartition("/")[2]

    @property
    def title(self) -> str:
        """The first heading of the notebook."""
        return _heading(self.cells[0]["source"])

    @cached_property
    def parts(self) -> str:
        """The parts of all checks, as the source of one module."""
        sources = [cell["source"].strip() for cell in self.cells if is_parts(cell["id"])]
        return "\n\n\n".join(sources) + "\n"

    def role(self, cell: dict[str, Any]) -> tuple[str, str]:
        """The role of a cell and its question: ('answer', 'scores'); ('given', '') for what is only released."""
        if "instructor" in cell["metadata"].get("tags", []):
            return "instructor", ""
        if is_parts(cell["id"]):
            return "parts", cell["id"].removesuffix("-parts")
        if magic := _magic(cell):
            return magic
        if cell["id"] in self.questions:
            return "statement", cell["id"]
        question, _, role = cell["id"].partition("-")
        if question in self.questions and (role in ("answer", "check") or re.fullmatch(r"hint-\d+", role)):
            return role.partition("-")[0], question
        return "given", ""


def is_parts(name: str) -> bool:
    """Whether a cell of this name holds parts of checks: QUESTION-parts, and no mistake with such a name."""
    return name.count("-") == 1 and name.endswith("-parts")


def _magic(cell: dict[str, Any]) -> tuple[str, str] | None:
    found = re.match(r"%%(\w+)[ \t]*(.*)", cell["source"])
    if cell["cell_type"] == "code" and found and found[1] in VARIANTS:
        return found[1], found[2].strip()
    return None


def says(source: str) -> str:
    """The sentence of a variant: the comment lines at its top, as one line."""
    lines = []
    for line in source.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("# ").strip())
    return " ".join(lines).strip()


def _heading(markdown: str) -> str:
    found = re.search(r"^#+ (.+)$", markdown, re.MULTILINE)
    return found[1].strip() if found else ""


def all_assignments(base: Path) -> list[Path]:
    """The text notebooks of all assignments of the book, in order."""
    return sorted(path for path in (base / "solutions").glob("*/*.py") if book.is_text_notebook(path))


def find_path(base: Path, name: str) -> Path:
    """The instructor's notebook of CHAPTER/NAME, or of NAME alone where only one chapter has it.

    Raises AssignmentError when there is none, or several.
    """
    wanted = name.removeprefix("solutions/").removesuffix(".py").removesuffix(".ipynb")
    known = {str(path.relative_to(base / "solutions").with_suffix("")): path for path in all_assignments(base)}
    found = [path for key, path in known.items() if wanted in (key, key.rpartition("/")[2])]
    if len(found) == 1:
        return found[0]
    if found:
        raise AssignmentError(f"{name}: several chapters have it; write CHAPTER/{name}")
    raise AssignmentError(f"{name}: there is no such assignment; solutions/ has {', '.join(known) or 'none'}")


def read(path: Path) -> Assignment:
    """Read an instructor's notebook. Raises AssignmentError with what is missing from it."""
    cells = notebooks.read_text(path)["cells"]
    for cell in cells:
        if isinstance(cell["source"], list):
            cell["source"] = "".join(cell["source"])
    name = f"{path.parent.name}/{path.stem}"
    stated = [cell for cell in cells if "question" in cell["metadata"]]
    questions = {cell["id"]: _question(cell, path) for cell in stated}
    assignment = Assignment(name, path, cells, questions)
    for cell in cells:
        _add(assignment, cell, *assignment.role(cell))
    _validate(assignment)
    return assignment


def _question(cell: dict[str, Any], path: Path) -> QuestionSource:
    facts = cell["metadata"]["question"]
    missing = [key for key in QUESTION_KEYS if key not in facts]
    if missing or not cell["id"].isidentifier():
        raise AssignmentError(
            f"{path}: the question {cell['id']!r} must be named like a Python variable,"
            f" and say {', '.join(QUESTION_KEYS)}; missing: {', '.join(missing) or 'nothing'}"
        )
    if not (isinstance(facts["difficulty"], int) and 1 <= facts["difficulty"] <= 5):
        raise AssignmentError(f"{path}: the difficulty of {cell['id']} must be 1 to 5; got {facts['difficulty']!r}")
    return QuestionSource(cell["id"], _heading(cell["source"]), facts)


def _add(assignment: Assignment, cell: dict[str, Any], role: str, question: str) -> None:
    """Put a cell's content where it belongs in its question."""
    if role in VARIANTS and question not in assignment.questions:
        known = ", ".join(assignment.questions)
        raise AssignmentError(
            f"{assignment.path}: the cell {cell['id']}: there is no question {question!r}; {known} are"
        )
    if role == "answer":
        assignment.questions[question].answer = cell["source"]
    elif role == "hint":
        assignment.questions[question].hints.append(" ".join(cell["source"].split()))
    elif role in VARIANTS:
        source = cell["source"].partition("\n")[2]
        name = cell["id"].removeprefix(f"{question}-").removeprefix(f"{role}-")
        if not says(source):
            raise AssignmentError(f"{assignment.path}: the cell {cell['id']} needs a comment below its magic")
        assignment.questions[question].variants[role].append(Variant(name, says(source), source))


def _validate(assignment: Assignment) -> None:
    roles = [assignment.role(cell) for cell in assignment.cells]
    for question in assignment.questions.values():
        found = {role for role, name in roles if name == question.name}
        missing = {"answer", "check", "parts"} - found
        wrong = [f"no cell {question.name}-{role}" for role in sorted(missing)]
        for kind, least in (("mistake", MISTAKES), ("other", OTHERS)):
            if len(question.variants[kind]) < least:
                wrong.append(f"{len(question.variants[kind])} cells %%{kind}, at least {least} are needed")
        checks = [cell["source"] for cell in assignment.cells if cell["id"] == f"{question.name}-check"]
        if any(IMPORT not in source for source in checks):
            wrong.append(f"its check cell must have `{IMPORT}`, so that nobody gains by another `check`")
        if not missing and clear_solution(question.answer) == question.answer:
            wrong.append("no ### BEGIN SOLUTION and ### END SOLUTION in the answer")
        if wrong:
            raise AssignmentError(f"{assignment.path}: the question {question.name}: {'; '.join(wrong)}")


def clear_solution(source: str) -> str:
    """The answer cell as a student gets it: each region between the markers is a stub, as nbgrader makes it.

    At the top level of a cell the stub is a comment only: there the cell gives names that are to be filled in.
    """
    lines, inside = [], False
    for line in source.split("\n"):
        if "### BEGIN SOLUTION" in line:
            indent = line[: len(line) - len(line.lstrip())]
            lines += [f"{indent}# YOUR CODE HERE"] + ([f"{indent}raise NotImplementedError()"] if indent else [])
            inside = True
        elif "### END SOLUTION" in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)
