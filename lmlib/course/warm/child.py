"""What a forked child does: it takes cells and calls from its parent's socket, and sends outputs and answers back."""

import _thread
import ctypes
import os
import signal
import socket
import sys
import tempfile
from types import FrameType
from typing import Any

from lmlib.course.outside import probe
from lmlib.course.warm import frames
from lmlib.course.warm.capture import Capture
from lmlib.course.warm.shell import CellRunner, NotebookShell


class Sender:
    """Sends frames whole: an interrupt that comes while one is sent is heard when it is out."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._sending = self._interrupted = False

    def send(self, header: dict[str, Any], data: bytes = b"") -> None:
        """Send one frame."""
        self._sending = True
        try:
            frames.send(self._channel, header, data)
        finally:
            self._sending = False
            if self._interrupted:
                self._interrupted = False
                _thread.interrupt_main()  # also when the thread that watches the pipes has sent it

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGINT while a cell or a call runs."""
        if not self._sending:
            raise KeyboardInterrupt
        self._interrupted = True


def serve(channel: socket.socket, shell: NotebookShell) -> None:
    """Answer requests until the parent closes the channel.

    `{"op": "execute", "source"}` sends outputs and at the end `{"done", "count"}`; `{"op": "value"}` or a way of asking
    sends one answer of `outside.probe`. A process that a cell forked ends here and does not answer.
    """
    own = os.getpid()
    sender = Sender(channel)
    capture = Capture(lambda output: sender.send({"output": output}))
    runner = CellRunner(shell, capture.output)
    flush_c_streams = ctypes.CDLL(None).fflush
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while (request := frames.receive(channel)) is not None:
        answer = _answer(request, runner, shell, sender)
        if os.getpid() != own:
            os._exit(0)
        flush_c_streams(None)
        capture.flush()
        sender.send(answer.header, answer.data)


def _answer(request: frames.Frame, runner: CellRunner, shell: NotebookShell, sender: Sender) -> frames.Frame:
    """The answer to one request. Only here an interrupt is heard."""
    signal.signal(signal.SIGINT, sender.interrupt)
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
