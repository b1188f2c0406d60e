"""Each layer of the sandbox does what it says, for root and for an ordinary user. Tried by a plain program inside."""

import json
import os
import subprocess
import sys

import pytest

from lmlib.course.sandbox import seccomp
from tests.course.conftest import ROOT
from tests.course.ordinary_user import NOBODY, folder_of, python_of

PROGRAM = """
import json, os, socket, sys
from lmlib.course.sandbox import enter
from lmlib.course.sandbox.policy import Policy, interpreter
policy = Policy((*interpreter(), sys.argv[3]), (), memory=64 << 20, disk=1 << 20, processes=8)
enter.separate()
if os.fork():
    os.wait()
    sys.exit()
report = enter.settle(policy, sys.argv[1])
if os.fork():
    os.wait()
    os._exit(0)
report |= enter.restrict(policy)

def tried(attempt):
    try:
        attempt()
        return "done"
    except (OSError, MemoryError) as error:
        return getattr(error, "strerror", None) or type(error).__name__

def forks():
    for _ in range(20):
        if os.fork() == 0:
            import time
            time.sleep(1)
            os._exit(0)

def fill():
    with open("/scratch/large", "wb") as file:
        for _ in range(8):
            file.write(bytes(1 << 18))
            file.flush()

print(json.dumps({
    "report": report,
    "user": [os.getuid(), os.getpid()],
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("Cap")],
    "top": sorted(os.listdir("/")),
    "outside": tried(lambda: open(sys.argv[2])),
    "readable": tried(lambda: open(sys.argv[3])),
    "written": tried(lambda: open(sys.argv[3], "a")),
    "scratch": tried(lambda: open("/scratch/file", "w").write("x")),
    "socket": tried(socket.socket),
    "pair": tried(socket.socketpair),
    "memory": tried(lambda: bytearray(1 << 28)),
    "disk": tried(fill),
    "forks": tried(forks),
}), flush=True)
"""


def users() -> list[int]:
    return [0, NOBODY] if os.getuid() == 0 else [os.getuid()]


@pytest.mark.parametrize("user", users())
def test_nothing_but_the_policy_can_be_seen_or_used(user, tmp_path):
    place = folder_of(user)
    secret, shown = place / "secret", place / "shown"
    (place / "root").mkdir()
    secret.write_text("secret")
    shown.write_text("shown")
    command = [python_of(user), "-c", PROGRAM, str(place / "root"), str(secret), str(shown)]
    environment = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath}
    done = subprocess.run(command, user=user, cwd="/", env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    assert found["user"] == [1000, 2]
    assert set(found["capabilities"][:3]) == {"0000000000000000"}
    assert "root" not in found["top"] or os.path.realpath(sys.base_prefix).startswith("/root")
    assert found["outside"] == "No such file or directory"
    assert (found["readable"], found["scratch"], found["pair"]) == ("done", "done", "done")
    assert found["written"] in ("Read-only file system", "Permission denied")
    assert found["socket"] == "Operation not permitted"
    assert found["memory"] == "MemoryError"
    assert found["disk"] in ("No space left on device", "File too large")
    assert found["forks"] == "Resource temporarily unavailable"
    layers = {"namespaces", "file system", "memory watch", "resource limits", "Landlock", "seccomp"}
    assert set(found["report"]) == layers
    assert list((place / "root").iterdir()) == []


def test_no_jump_of_the_filter_leaves_the_program():
    for column in (0, 1):
        steps = seccomp.program(column)
        assert len(steps) < 4096  # the most that the kernel takes
        for position, step in enumerate(steps):
            is_jump = step[0] & 0x07 == 0x05
            assert not is_jump or position + 1 + max(step[2], step[3]) < len(steps)
        assert steps[-1][0] == seccomp.RETURN


def test_a_layer_that_is_missing_is_a_refusal(monkeypatch):
    from lmlib.course.sandbox import enter, kernel
    from lmlib.course.sandbox.policy import SandboxError

    def refused(flags: int) -> None:
        raise OSError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(kernel, "unshare", refused)
    with pytest.raises(SandboxError, match=r"namespaces: unshare: Operation not permitted.*--sandbox=off"):
        enter.separate()
