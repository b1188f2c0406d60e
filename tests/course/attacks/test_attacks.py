"""Every attack succeeds where submissions are trusted, and fails where they are not; honest work keeps its points."""

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lmlib.course.outside.grading import Grader
from lmlib.course.outside.limits import MIB, Limits
from lmlib.course.warm.client import WarmServer
from tests.course.attacks.attacks import BOTH, ONLY_WITH, Attack
from tests.course.attacks.world import (
    ALL_POINTS,
    HONEST,
    SECRET,
    SECRET_VARIABLE,
    World,
    with_all,
    without,
)
from tests.course.student_notebooks import hand_in

LIMITS = Limits(cell_seconds=20, call_seconds=10, seconds=60, memory=512 * MIB, disk=16 * MIB)
SLEEP = f"98765.{os.getpid()}"  # seconds; of this process alone: an ordinary user tries the same beside it
SOON = replace(LIMITS, cell_seconds=0.5, call_seconds=0.3, grace_seconds=0.3, seconds=8)
ROWS: list[tuple[str, str, str, str]] = []


@pytest.fixture(scope="module")
def grader():
    os.environ[SECRET_VARIABLE] = SECRET
    with Grader(b"key", LIMITS) as grader:
        yield grader
    del os.environ[SECRET_VARIABLE]


@pytest.fixture(scope="module")
def trusting():
    os.environ[SECRET_VARIABLE] = SECRET
    with WarmServer(dict(os.environ)) as server:
        yield server.address


@pytest.fixture(scope="module", autouse=True)
def table():
    """The table of all attacks, printed at the end."""
    yield
    print(f"\n{'attack':<16}{'what it tried':<52}{'without':<28}{'with'}")
    for row in ROWS:
        print(f"{row[0]:<16}{row[1]:<52}{row[2]:<28}{row[3]}")


def attacking(folder: Path, attack: Attack, world: World) -> Path:
    known = "\n".join(f"{name} = {value!r}" for name, value in world.names().items())
    return hand_in(
        folder / "t.ipynb", {**HONEST, f"{attack.question}-answer": f"{known}\n{attack.code}"}, world.release
    )


def require_honest_points(world: World, grader: Grader) -> None:
    graded = grader.grade(world.classmate, world.release)
    assert (graded.status, graded.score, graded.remarks) == ("graded", ALL_POINTS, ())


@pytest.mark.parametrize("attack", BOTH, ids=lambda attack: attack.name)
def test_an_attack_succeeds_where_it_is_trusted_and_fails_where_it_is_not(attack, world, grader, trusting, tmp_path):
    world.repair()
    notebook = attacking(tmp_path, attack, world)
    trusted = without(world, trusting, notebook, tmp_path, attack.question)
    assert attack.wins(trusted), f"it is no attack: {trusted}"
    world.repair()
    attempt = with_all(world, grader, notebook, attack.question)
    ROWS.append((attack.name, attack.tried, "succeeded", f"failed, {attempt.points:g} of 3 points"))
    assert not attack.wins(attempt), attempt
    assert not attempt.changed
    assert attempt.victim_lives
    require_honest_points(world, grader)


@pytest.mark.parametrize("attack", ONLY_WITH, ids=lambda attack: attack.name)
def test_an_attack_fails_and_the_next_submission_is_graded(attack, world, grader, tmp_path):
    world.repair()
    before = set(psutil.pids())
    grader.limits = SOON if attack.endless else LIMITS
    attempt = with_all(world, grader, attacking(tmp_path, attack, world), attack.question)
    grader.limits = LIMITS
    remarks = [*attempt.graded.remarks, *(r for q in attempt.graded.questions for r in q.remarks)]
    ROWS.append(
        (attack.name, attack.tried, f"not tried: {attack.only_with}"[:26], f"failed: {'; '.join(remarks)[:80]}")
    )
    assert not attack.wins(attempt), attempt
    assert not attempt.changed
    assert attempt.victim_lives
    require_honest_points(world, grader)
    assert children_of_server(grader, before) == []


def children_of_server(grader: Grader, before: set[int]) -> list[psutil.Process]:
    """What is left below the server of processes that were not there before, after a moment."""
    for _ in range(50):
        left = psutil.Process(grader._server._process.pid).children(recursive=True)
        if not left:
            return []
        time.sleep(0.1)
    return left


def test_a_daemon_outlives_a_plain_process_and_not_the_sandbox(world, grader, tmp_path):
    code = f"import subprocess; subprocess.Popen(['sleep', '{SLEEP}'], start_new_session=True)"
    subprocess.run(["python3", "-c", code], check=True)
    alive = sleepers()
    for process in alive:
        process.kill()
    assert len(alive) == 1, "it is no attack"
    world.repair()
    attack = Attack("daemon", "leave a process behind", lambda attempt: bool(sleepers()), code)
    attempt = with_all(world, grader, attacking(tmp_path, attack, world), attack.question)
    for _ in range(50):
        if not sleepers():
            break
        time.sleep(0.1)
    assert sleepers() == []
    ROWS.append((attack.name, attack.tried, "succeeded", f"failed, {attempt.points:g} of 3 points"))


def sleepers() -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["cmdline"] == ["sleep", SLEEP] and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found
