"""What a forked child does: it takes cells and calls from its parent's socket, and sends outputs and answers back."""

import ctypes
import os
import signal
import socket
import sys
import tempfile

from lmlib.course.outside import probe
from lmlib.course.warm import frames
from lmlib.course.warm.capture import Capture
from lmlib.course.warm.shell import CellRunner, NotebookShell


def serve(channel: socket.socket, shell: NotebookShell) -> None:
    """Answer requests until the parent closes the channel.

    `{"op": "execute", "source"}` sends outputs and at the end `{"done", "count"}`; `{"op": "call" or "value"}` sends
    one answer of `outside.probe`. A process that a cell forked ends here and does not answer.
    """
    own = os.getpid()
    capture = Capture(lambda output: frames.send(channel, {"output": output}))
    runner = CellRunner(shell, capture.output)
    flush_c_streams = ctypes.CDLL(None).fflush
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (request := frames.receive(channel)) is not None:
        answer = _answer(request, runner, shell)
        if os.getpid() != own:
            os._exit(0)
        flush_c_streams(None)
        capture.flush()
        frames.send(channel, answer.header, answer.data)


def _answer(request: frames.Frame, runner: CellRunner, shell: NotebookShell) -> frames.Frame:
    """The answer to one request. Only here an interrupt is heard: a frame must not be cut in two."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        if request.header["op"] == "execute":
            done, count = runner.run(request.header["source"])
            return frames.Frame({"done": done, "count": count})
        return probe.answer(request, shell.user_ns)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def prepare(folder: str, environment: dict[str, str]) -> None:
    """Make this process a notebook's: its folder, and what is added to the environment."""
    os.environ.update(environment)
    os.chdir(folder)
    tempfile.tempdir = None
    sys.argv = ["notebook"]
