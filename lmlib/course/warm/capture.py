"""What a cell prints, in order: Python's streams, and descriptors 1 and 2, which subprocesses and C code write to."""

import codecs
import fcntl
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from typing import Any

PIPE_BYTES = 1 << 20
PENDING_CHARACTERS = 1 << 16
SECONDS = 0.1  # after which a waiting text is sent though the cell goes on, so that a time-out does not lose it

Emit = Callable[[dict[str, Any]], None]


class Capture:
    """Descriptors 1 and 2 and Python's streams of this process, turned into outputs that go to `emit`.

    Text that stands in a pipe is taken before anything else is emitted, so the order is that of writing.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._name, self._size = "", 0
        self._texts: list[str] = []
        self._pipes = {_pipe_of(descriptor): name for descriptor, name in ((1, "stdout"), (2, "stderr"))}
        # a character may come in two pieces: its first bytes wait for the others
        self._decoders = {pipe: codecs.getincrementaldecoder("utf-8")("replace") for pipe in self._pipes}
        sys.stdout, sys.stderr = CapturedStream(self, "stdout", 1), CapturedStream(self, "stderr", 2)
        threading.Thread(target=self._watch, daemon=True, name="capture").start()

    def write(self, name: str, text: str) -> None:
        """Add text that was printed to one of Python's streams. A process forked by a cell sends it by the pipe."""
        if os.getpid() != self._process:
            os.write(1 if name == "stdout" else 2, text.encode("utf-8", errors="replace"))
            return
        with self._lock:
            self._drain()
            self._append(name, text)

    def output(self, output: dict[str, Any]) -> None:
        """Emit an output that is no text of a stream, after all that was printed before it."""
        with self._lock:
            self.flush()
            self._emit(output)

    def flush(self) -> None:
        """Emit all that was printed until now."""
        if os.getpid() != self._process:
            return
        with self._lock:
            self._drain()
            self._send()

    def _append(self, name: str, text: str) -> None:
        if name != self._name or self._size > PENDING_CHARACTERS:
            self._send()
        self._name = name
        self._size += len(text)
        self._texts.append(text)

    def _send(self) -> None:
        text = "".join(self._texts)
        self._texts, self._size = [], 0
        if text:
            self._emit({"output_type": "stream", "name": self._name, "text": text})

    def _drain(self) -> None:
        for pipe, name in self._pipes.items():
            while data := _available(pipe):
                if text := self._decoders[pipe].decode(data):
                    self._append(name, text)

    def _watch(self) -> None:
        while True:
            select.select(list(self._pipes), [], [], SECONDS)
            self.flush()


def _pipe_of(descriptor: int) -> int:
    """A pipe in the place of a descriptor; gives its reading end, which never waits."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    os.set_blocking(reading, False)
    os.dup2(writing, descriptor)
    os.close(writing)
    return reading


def _available(pipe: int) -> bytes:
    try:
        return os.read(pipe, PIPE_BYTES)
    except BlockingIOError:
        return b""


class CapturedStream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a notebook."""

    def __init__(self, capture: Capture, name: str, descriptor: int) -> None:
        self._capture, self.name, self._descriptor = capture, name, descriptor

    encoding = "utf-8"

    def writable(self) -> bool:
        """It is written to."""
        return True

    def fileno(self) -> int:
        """The descriptor whose text comes out in the same place."""
        return self._descriptor

    def write(self, text: str) -> int:
        """Add text to the outputs of the cell."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._capture.write(self.name, text)
        return len(text)

    def flush(self) -> None:
        """Send what was written."""
        self._capture.flush()
