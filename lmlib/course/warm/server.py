"""The fork server: `python -m lmlib.course.warm.server FOLDER [MODULE ...]`.

It imports what notebooks import, and the modules that are named; then it listens on FOLDER/socket. A connection brings
a job and a line (see supervisor.py), and becomes the channel of the notebook's process, which is forked for it. The
server ends when its standard input does, that is with whoever started it. It imports only: after one parallel operation
of torch there would be threads, and a child forked beside them may wait for ever.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from lmlib.course.sandbox import enter, kernel
from lmlib.course.sandbox.policy import Policy, SandboxError
from lmlib.course.warm import frames, stand_in, supervisor
from lmlib.course.warm.shell import NotebookShell, make_shell

IMPORTED = (  # after the shell is made: some of them look whether they are in a notebook
    "numpy",
    "torch",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "tqdm.auto",
    "lmlib.course.warm.child",
)
SECONDS = 10  # for a job to come after its connection


def main(folder: Path, *modules: str) -> None:
    """Import, say that it is ready, and fork a child for each connection."""
    shell = _imported(modules)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel puts children away
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started it
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    gc.collect()
    gc.freeze()
    (folder / "root").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            with listener.accept()[0] as channel, contextlib.suppress(OSError, frames.FrameError):
                _take(channel, listener, shell, str(folder / "root"))


def _imported(modules: tuple[str, ...]) -> NotebookShell:
    """The shell, when all is imported. Raises RuntimeError when an import has started a thread."""
    shell = make_shell()
    for name in IMPORTED + modules:
        importlib.import_module(name)
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(f"{threads} threads after the imports; a child forked beside them may hang")
    return shell


def _take(channel: socket.socket, listener: socket.socket, shell: NotebookShell, root: str) -> None:
    """Fork a notebook's process for the job of this connection."""
    channel.settimeout(SECONDS)
    _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    with socket.socket(fileno=descriptors[0]) as line:
        request = frames.receive(channel)
        channel.settimeout(None)
        if request is None or os.fork():
            return
        listener.close()
        try:
            _start(channel, line, shell, request.header, root)
        except SandboxError as error:
            frames.send(channel, {"failed": error.said})
        finally:
            os._exit(1)


def _start(channel: socket.socket, line: socket.socket, shell: NotebookShell, job: dict[str, Any], root: str) -> None:
    """In the first child: make the supervisor, and below it the process of the notebook."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    policy = _policy(job["policy"])
    report: enter.Report = {}
    memory = None
    if policy:
        enter.separate()
        if os.fork():
            os._exit(0)
        report = enter.settle(policy, root)
        memory = policy.memory + supervisor.memory_of_one()
    else:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    notebook = os.fork()
    if notebook:
        channel.close()
        supervisor.supervise(notebook, line, memory)
    line.close()
    _close_all_but(channel.fileno())
    if policy:
        report |= enter.restrict(policy)
        stand_in.install()
    from lmlib.course.warm import child

    child.prepare(job["folder"], job["environment"])
    frames.send(channel, {"ready": report})
    child.serve(channel, shell)
    os._exit(0)


def _policy(stated: dict[str, Any] | None) -> Policy | None:
    if stated is None:
        return None
    paths = {name: tuple(stated[name]) for name in ("readable", "hidden")}
    return Policy(**{**stated, **paths})


def _close_all_but(kept: int) -> None:
    """Standard input is nothing; outputs are replaced later; every other descriptor but one goes."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 12)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
