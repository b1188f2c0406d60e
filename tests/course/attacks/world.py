"""A small course on a machine with things worth attacking, and the two ways to grade in it.

Without: the notebook runs with the grader's rights, and `check` runs in its process. With: sandbox and outside checks.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from lmlib.course import notebooks, submission
from lmlib.course.assignment import read
from lmlib.course.outside.grading import Grader, SubmissionGrade
from lmlib.course.record import RECORD_VARIABLE
from lmlib.course.release import make
from lmlib.course.warm.client import Child, ChildEndedError, OutOfTimeError
from lmlib.course.warm.outputs import Outputs
from lmlib.course.workbench import Workbench
from tests.course.small_assignment import SOURCE
from tests.course.stateful_assignment import STATEFUL, other_answers
from tests.course.student_notebooks import hand_in

SECRET = "b7d1-a-secret-of-the-course"
SECRET_VARIABLE = "COURSE_TOKEN"
FULL = 3.0  # points of each question that is attacked
MORE = ("shelf", "scale", "plot")
HONEST = {
    "double-answer": "def double(x):\n    return x + x",
    "choose-answer": "letter, size = 'b', 8",
    **{f"{name}-answer": source for name, source in other_answers(MORE).items()},
}
ALL_POINTS = 14.0


@dataclass
class World:
    """The machine: `base` is the book, `folder` holds the gradebook and a classmate's work, `victim` is a process."""

    folder: Path
    victim: subprocess.Popen
    listeners: dict[str, socket.socket] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        return self.folder / "book"

    @property
    def release(self) -> Path:
        return self.base / "exercises" / "01_x" / "t.ipynb"

    @property
    def gradebook(self) -> Path:
        return self.folder / "gradebook.db"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def classmate(self) -> Path:
        return self.folder / "submitted" / "classmate" / "t.ipynb"

    def names(self) -> dict[str, Any]:
        """What an attacker is assumed to know."""
        return {
            "GRADEBOOK": str(self.gradebook), "CLASSMATE": str(self.classmate), "VICTIM": self.victim.pid,
            "SOLUTION": str(self.base / "solutions" / "01_x" / "t.py"),
            "CHECKS": str(self.release.with_name("t_checks.json")),
            "GRADERS_HOME": str(self.home),
            "VARIABLE": SECRET_VARIABLE, "SOCKET": str(self.folder / "socket"), "ABSTRACT": abstract_name(self.folder),
            "TCP": self.listeners["tcp"].getsockname()[1], "UDP": self.listeners["udp"].getsockname()[1],
        }  # fmt: skip

    def state(self) -> list[bytes]:
        """The bytes that must not change."""
        home = "\n".join(sorted(map(str, self.home.rglob("*"))))
        return [self.gradebook.read_bytes(), self.classmate.read_bytes(), home.encode()]

    def repair(self) -> None:
        """As it was before an attack."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir()
        self.gradebook.write_text(f"points of all, {SECRET}")
        hand_in(self.classmate, HONEST, self.release)
        if self.victim.poll() is not None:
            self.victim = start_victim()

    def heard(self) -> bool:
        """Whether any listener got something; it is taken away."""
        got = False
        for listener in self.listeners.values():
            with contextlib.suppress(BlockingIOError):
                if listener.type == socket.SOCK_STREAM:
                    listener.accept()[0].close()
                else:
                    listener.recv(100)
                got = True
        return got


def start_victim() -> subprocess.Popen:
    return subprocess.Popen(["sleep", "1000"], env={SECRET_VARIABLE: SECRET})


def abstract_name(folder: Path) -> str:
    """Of a socket that has no file: another one for each world, as several run on one machine at a time."""
    return str(folder)[-100:]  # the system takes 107 characters


def make_world(folder: Path) -> World:
    """Build it. Whoever builds it closes it."""
    base = folder / "book"
    (base / "chapters").mkdir(parents=True)
    (base / "solutions" / "01_x").mkdir(parents=True)
    (base / "solutions" / "01_x" / "t.py").write_text(SOURCE + STATEFUL, "utf-8")
    make(Workbench(read(base / "solutions" / "01_x" / "t.py"))).write(base / "exercises" / "01_x")
    world = World(folder, start_victim())
    tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    plain, abstract = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    places = (("127.0.0.1", 0), ("127.0.0.1", 0), str(folder / "socket"), "\0" + abstract_name(folder))
    for name, listener, place in zip(
        ("tcp", "udp", "unix", "abstract"), (tcp, udp, plain, abstract), places, strict=True
    ):
        listener.bind(place)
        listener.setblocking(False)
        if listener.type == socket.SOCK_STREAM:
            listener.listen()
        world.listeners[name] = listener
    world.repair()
    return world


def close(world: World) -> None:
    """End what `make_world` started."""
    world.victim.kill()
    world.victim.wait()
    for listener in world.listeners.values():
        listener.close()


@dataclass
class Attempt:
    """What an attack achieved, as seen from outside."""

    points: float  # for the question whose answer cell holds the attack
    said: str  # all outputs of the notebook
    changed: bool  # the gradebook or the classmate's file
    heard: bool  # a connection or a datagram came out
    victim_lives: bool
    graded: SubmissionGrade | None = None


def with_all(world: World, grader: Grader, notebook: Path, attacked: str) -> Attempt:
    """Graded in the sandbox, from outside."""
    before = world.state()
    graded = grader.grade(notebook, world.release)
    points = next(question.score for question in graded.questions if question.question == attacked)
    said = json.dumps(graded.notebook["cells"] if graded.notebook else [])
    return Attempt(points, said, world.state() != before, world.heard(), world.victim.poll() is None, graded)


def without(world: World, address: str, notebook: Path, folder: Path, attacked: str) -> Attempt:
    """Run with the grader's rights and `check` in the same process, as graders do that trust their students."""
    before = world.state()
    nb = submission.to_run(notebooks.read(world.release), submission.read(notebook)).notebook
    place = folder / "01_x"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for ending in ("_checks.py", "_checks.json"):
        shutil.copy(world.release.with_name(f"t{ending}"), place)
    record = folder / "record"
    record.unlink(missing_ok=True)
    shown = []
    with Child(address, str(place), os.environ | {RECORD_VARIABLE: str(record)}) as child:
        outputs = Outputs()
        for cell in nb["cells"]:
            if cell["cell_type"] == "code":
                shown.append(outputs.begin())
                try:
                    request = {"op": "execute", "source": cell["source"]}
                    child.request(request, b"", monotonic() + 20, outputs.add)
                except (ChildEndedError, OutOfTimeError):
                    break
    rows = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    points = [row["score"] for row in rows if row["kind"] == "points" and row["name"] == attacked]
    changed = world.state() != before
    return Attempt(
        points[-1] if points else 0.0, json.dumps(shown), changed, world.heard(), world.victim.poll() is None
    )
