"""A submission graded from outside: its code runs in a sandbox, what it computes is compared in another process.

    this process ── frames ── child (the student's code, sandboxed)
          └──────── frames ── checker (the reference; draws inputs, compares)

Nothing of the submission is ever imported, unpickled or executed in this process or in the checker.
"""

import contextlib
import hmac
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from lmlib.course import merge, notebooks, submission
from lmlib.course.checking import NOT_RUN
from lmlib.course.errors import WorkFailedError
from lmlib.course.execution import thread_settings
from lmlib.course.notebooks import Notebook
from lmlib.course.outside import library, submitted
from lmlib.course.outside.answers import limited
from lmlib.course.outside.checker_process import Checker
from lmlib.course.outside.limits import Limits
from lmlib.course.sandbox.policy import Policy, interpreter
from lmlib.course.sandbox.root import SCRATCH
from lmlib.course.submission import SubmissionError
from lmlib.course.warm.client import Child, ChildEndedError, OutOfTimeError, WarmServer
from lmlib.course.warm.frames import Frame
from lmlib.course.warm.outputs import Outputs

OFF = {"sandbox": "off: the submissions' code ran with the rights of the grader"}
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "MPLCONFIGDIR", "XDG_CACHE_HOME")  # the server's; no secrets
SEED_BYTES = 16


@dataclass(frozen=True)
class QuestionGrade:
    """The points of one question, the known mistakes by name, what a student reads, and remarks on its cells."""

    question: str
    score: float
    maximum: float
    mistakes: tuple[str, ...] = ()
    text: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class SubmissionGrade:
    """What came of one submission. `status`: "graded", or a sentence that says why it could not be.

    `sandbox`: each layer and what it did. `notebook`: as it ran, with outputs; check cells show the verdict.
    """

    assignment: str
    status: str
    questions: tuple[QuestionGrade, ...]
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0
    sandbox: dict[str, str] = field(default_factory=dict)
    notebook: Notebook | None = None

    @property
    def score(self) -> float:
        """The points of all questions."""
        return sum(question.score for question in self.questions)

    @property
    def maximum(self) -> float:
        """The points that the assignment gives."""
        return sum(question.maximum for question in self.questions)


def seed(secret: bytes, assignment: str, digest: str, question: str) -> int:
    """The seed of a question's inputs: the same for the same submission, and known to nobody without the secret."""
    message = "\0".join([assignment, digest, question]).encode()
    return int.from_bytes(hmac.digest(secret, message, "sha256")[:SEED_BYTES], "big")


def grade_submission(notebook: Path, release: Path, secret: bytes, limits: Limits | None = None) -> SubmissionGrade:
    """Grade one submission; for several, a `Grader` starts its processes once. Raises SandboxError."""
    with Grader(secret, limits or Limits()) as grader:
        return grader.grade(notebook, release)


class Grader:
    """The processes that grade, kept alive over many submissions, as a context manager.

    Without `sandbox` the submissions' code runs with the rights of this process, and each result says so.
    """

    def __init__(self, secret: bytes, limits: Limits, *, sandbox: bool = True) -> None:
        self._secret, self.limits, self._sandbox = secret, limits, sandbox
        self._releases: dict[Path, _Release] = {}

    def __enter__(self) -> "Grader":
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        with contextlib.ExitStack() as stack:
            self._server = stack.enter_context(WarmServer(kept | thread_settings(1) | {"TQDM_DISABLE": "1"}))
            self._checker = Checker(self.limits.checker_seconds)
            stack.callback(self._checker.close)
            self._processes = stack.pop_all()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._processes.close()

    def alive(self) -> bool:
        """Whether its processes can still grade."""
        return self._server.alive() and self._checker.alive()

    def grade(
        self,
        notebook: Path,
        release: Path,
        question: str | None = None,
        seeds: Mapping[str, int] | None = None,
    ) -> SubmissionGrade:
        """Grade one submission, or one question of it. Whatever is wrong with it stands in the result.

        `seeds`: of its questions, where this grader was not given the secret that they are drawn from.

        Raises SandboxError when a layer of the sandbox cannot be had, CourseError for a damaged release, and
        WorkFailedError when one of its own processes has ended.
        """
        started = monotonic()
        known = self._release(release)
        try:
            student, digest = submitted.read(notebook, self.limits)
            merged = submission.to_run(known.notebook, student)
            if question is not None:
                merged = submission.for_question(merged, question)
        except SubmissionError as error:
            nothing = tuple(QuestionGrade(name, 0.0, maximum) for name, maximum in known.maxima.items())
            return SubmissionGrade(known.assignment, str(error), nothing, seconds=monotonic() - started)
        with tempfile.TemporaryDirectory(prefix="lmbook-") as folder, self._child(known, folder) as child:
            run = _Run(known, merged, child, self._checker, self.limits)
            run.all_cells(lambda name: seeds[name] if seeds else seed(self._secret, known.assignment, digest, name))
            report = child.report or OFF
        questions = tuple(run.grades[name] for name in known.maxima if name in run.grades)
        executed = {**merged.notebook, "cells": run.cells}
        remarks = tuple(run.remarks)
        return SubmissionGrade(known.assignment, "graded", questions, remarks, monotonic() - started, report, executed)

    def _release(self, path: Path) -> "_Release":
        if path not in self._releases:
            self._releases[path] = _Release.read(path)
            self._checker.open(self._releases[path].solution)
        return self._releases[path]

    def _child(self, release: "_Release", folder: str) -> Child:
        home = SCRATCH if self._sandbox else folder
        environment = {"HOME": home, "TMPDIR": home}
        policy = release.policy(self.limits) if self._sandbox else None
        try:
            return Child(self._server.address, home, environment, policy, self.limits.grace_seconds)
        except ChildEndedError as error:
            raise WorkFailedError(f"no process for this submission: {error}; grade it again") from None


@dataclass(frozen=True)
class _Release:
    """A released notebook, its solution, and what of the library it needs."""

    assignment: str
    notebook: Notebook
    solution: Path
    maxima: dict[str, float]
    library: tuple[str, ...]
    hidden: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "_Release":
        path = path.resolve()
        nb = notebooks.read(path)
        base = path.parents[2]
        graded = [cell for cell in nb["cells"] if cell["metadata"]["nbgrader"]["grade"]]
        return cls(
            assignment=f"{path.parent.name}/{path.stem}",
            notebook=nb,
            solution=base / "solutions" / path.parent.name / f"{path.stem}.py",
            maxima={_question(cell): float(cell["metadata"]["nbgrader"]["points"]) for cell in graded},
            library=library.needed_files(nb),
            hidden=(str(library.PACKAGE), str(base / "solutions"), str(base / "exercises")),
        )

    def policy(self, limits: Limits) -> Policy:
        readable = (*interpreter(), *self.library)
        return Policy(readable, self.hidden, limits.memory, limits.disk, limits.processes, int(limits.seconds) + 1)


def _question(cell: dict[str, Any]) -> str:
    return merge.key(cell).removesuffix("-check")


class _Run:
    """One submission while it runs: cells with outputs, grades and remarks as far as they came."""

    def __init__(
        self, release: _Release, merged: submission.ToRun, child: Child, checker: Checker, limits: Limits
    ) -> None:
        self._release, self._merged, self._child, self._checker, self._limits = release, merged, child, checker, limits
        self._deadline = monotonic() + limits.seconds
        self._outputs = Outputs(limits.output, limits.outputs)
        self._notes: dict[str, str] = {}  # by cell: what happened to it
        self._ended = False
        self.cells: list[dict[str, Any]] = []
        self.remarks: list[str] = []
        self.grades: dict[str, QuestionGrade] = {}

    def all_cells(self, seed_of: Callable[[str], int]) -> None:
        """Run every code cell, and at each check cell ask and compare."""
        for cell in self._merged.notebook["cells"]:
            self.cells.append(dict(cell))
            if cell["cell_type"] != "code":
                continue
            if merge.key(cell) in {f"{name}-check" for name in self._release.maxima}:
                self._check(self.cells[-1], _question(cell), seed_of)
            else:
                self._execute(self.cells[-1])

    def _execute(self, cell: dict[str, Any]) -> None:
        cell["outputs"], cell["execution_count"] = self._outputs.begin(), None
        if self._ended or not cell["source"].strip():
            return
        try:
            request = Frame({"op": "execute", "source": cell["source"]})
            answer = self._ask(request, self._limits.cell_seconds).header
        except OutOfTimeError:
            over = monotonic() >= self._deadline
            said = f"{self._limits.seconds:g} seconds in all" if over else f"{self._limits.cell_seconds:g} seconds"
            self._note(cell, f"was stopped after {said}: does a loop never end?")
        except ChildEndedError as error:
            self._ended = True
            self._note(cell, f"ended Python: {error}")
        else:
            cell["execution_count"] = answer["count"] if isinstance(answer.get("count"), int) else None
            raised = [output for output in cell["outputs"] if output["output_type"] == "error"]
            if answer.get("done") is not True and raised:
                self._note(cell, f"raised {raised[-1]['ename']}: {raised[-1]['evalue']}")

    def _note(self, cell: dict[str, Any], what: str) -> None:
        """Say what happened: at its question for an answer cell, or else of the whole."""
        if merge.is_answer(cell):
            self._notes[merge.key(cell)] = f"the cell {merge.key(cell)} {what}"
        else:
            own = cell["id"].startswith(submission.ADDED)
            self.remarks.append(f"{'an added cell' if own else 'the cell ' + cell['id']} {what}")

    def _check(self, cell: dict[str, Any], question: str, seed_of: Callable[[str], int]) -> None:
        """The grade of one question. Its inputs are drawn now, when the answer has been loaded."""
        said = [self._merged.remarks.get(f"{question}-answer"), self._notes.get(f"{question}-answer")]
        remarks = [remark for remark in said if remark]
        maximum = self._release.maxima[question]
        if self._ended:
            remarks = remarks or [f"the cell {question}-answer {NOT_RUN}"]
            self.grades[question] = QuestionGrade(question, 0.0, maximum, remarks=tuple(remarks))
            return
        number = seed_of(question)
        requests = self._checker.draw(self._release.solution, question, number)
        answers = [self._answer(request) for request in requests]
        verdict = self._checker.judge(self._release.solution, question, number, answers)
        score, text = verdict["score"], verdict["text"]
        self.grades[question] = QuestionGrade(
            question, score, maximum, tuple(verdict["mistakes"]), text, tuple(remarks)
        )
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": f"{text}\n"}]

    def _answer(self, request: Frame) -> Frame | None:
        """What the child says to one request; None when nothing came in time, or it has ended."""
        if self._ended:
            return None
        self._outputs.begin()
        try:
            return limited(self._ask(request, self._limits.call_seconds))
        except OutOfTimeError:
            return None
        except ChildEndedError as error:
            self._ended = True
            self.remarks.append(f"a call of {request.header['name']} ended Python: {error}")
            return None

    def _ask(self, request: Frame, seconds: float) -> Frame:
        """Ask within the time of this request and of the whole. Raises OutOfTimeError and ChildEndedError."""
        now = monotonic()
        if now >= self._deadline:
            self._child.end()
            raise ChildEndedError(f"it was stopped after {self._limits.seconds:g} seconds in all")
        return self._child.request(request.header, request.data, min(now + seconds, self._deadline), self._outputs.add)
