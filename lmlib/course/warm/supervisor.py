"""The process that stands between the server and a notebook's process: it watches, interrupts, and ends all of it.

On its line to the parent it hears `i` (interrupt the notebook) or the end of the line (end everything), and says
once how the notebook's process ended: `{"ended": exit code, "why": ""}`, or "memory".
"""

import contextlib
import json
import os
import select
import signal
import socket
from pathlib import Path
from typing import Any, NoReturn

from lmlib.course.sandbox import limits

SECONDS = 0.02  # between two looks at the memory


def supervise(child: int, line: socket.socket, memory: int | None) -> NoReturn:
    """Watch until the child ends, the parent closes the line, or memory (bytes, of all) is used up; then end all.

    With a limit on memory this is process 1 of a namespace, whose end is the end of all in it, also of those that
    fork faster than anybody could kill them.
    """
    poll = select.poll()
    poll.register(line, select.POLLIN)
    say: dict[str, Any] = {"ended": None, "why": ""}
    while say["ended"] is None:
        if poll.poll(1000 * SECONDS):
            if line.recv(1) != b"i":
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGINT)
        say["ended"] = _exit_code(child)
        if memory is not None and limits.memory_used(own=1) > memory:
            say = {"ended": -signal.SIGKILL, "why": "memory"}
    with contextlib.suppress(OSError):
        line.sendall(json.dumps(say).encode())
    if memory is None:
        end_children()
    os._exit(0)


def memory_of_one() -> int:
    """What a process has in memory when it was just forked: pages of the server, in bytes."""
    return limits.memory_of("/proc/self/status")


def _exit_code(child: int) -> int | None:
    """How the child ended; None while it runs. Others that have ended are put away."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if process == 0:
            return None
        if process == child:
            return os.waitstatus_to_exitcode(status)


def end_children() -> None:
    """Kill what descends from this process until nothing does: orphans come to it."""
    while children := _children():
        for process in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        os.waitpid(-1, 0)


def _children() -> list[int]:
    own = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(number) for number in own.read_text("ascii").split()]
