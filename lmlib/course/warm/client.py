"""The other end of the server: start it, and ask it for processes that run notebooks."""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from lmlib.course.sandbox.policy import Policy, SandboxError
from lmlib.course.warm import frames
from lmlib.course.warm.frames import Frame, FrameError

START_SECONDS = 120  # for the imports, on a loaded machine
GRACE_SECONDS = 2  # for a cell to end after it was interrupted
END_SECONDS = 10
TRUSTED_HEADER_CAP = 1 << 30  # bytes of one output of a notebook that is trusted; an animation may have many
SOCKET_VARIABLE = "LMBOOK_WARM_SERVER"


class ChildEndedError(Exception):
    """A notebook's process has ended, or was ended; the message says why."""


class OutOfTimeError(Exception):
    """A request took too long and was interrupted; the process goes on."""


class WarmServer:
    """A running server, as a context manager; `modules` are imported beside those that every notebook needs."""

    def __init__(self, environment: dict[str, str], modules: Sequence[str] = ()) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lmbook-warm-")
        self.address = str(Path(self._folder.name) / "socket")
        package = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(filter(None, [package, environment.get("PYTHONPATH")]))
        settings = {"PYTHONPATH": path, "IPYTHONDIR": f"{self._folder.name}/ipython", "PYTHONSAFEPATH": "1"}
        settings["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's library starts its threads on import, and a fork loses them
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lmlib.course.warm.server", self._folder.name, *modules],
            env=environment | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], START_SECONDS)
        if not ready or self._process.stdout.readline() != b"ready\n":
            self.close()
            raise ChildEndedError("the server of notebook processes did not start; its message is above")

    def alive(self) -> bool:
        """Whether it can still be asked for processes; those that run go on without it."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the server; the notebooks' processes end with their channels."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> "WarmServer":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Child:
    """A notebook's process: requests go to it one after the other. `report` says what its sandbox does.

    `grace`: the seconds in which it must end what was interrupted. Raises SandboxError when a layer of the sandbox
    cannot be had, and ChildEndedError when the server has ended.
    """

    def __init__(
        self,
        address: str,
        folder: str,
        environment: dict[str, str],
        policy: Policy | None = None,
        grace: float = GRACE_SECONDS,
    ) -> None:
        self._unread, self._grace = b"", grace
        self._header_cap = frames.HEADER_CAP if policy else TRUSTED_HEADER_CAP
        self._channel = socket.socket(socket.AF_UNIX)
        self._line, theirs = socket.socketpair()
        stated = asdict(policy) if policy else None
        job = {"folder": folder, "environment": environment, "policy": stated}
        try:
            with theirs:
                self._channel.connect(address)
                socket.send_fds(self._channel, [b"j"], [theirs.fileno()])
            frames.send(self._channel, job)
        except OSError as error:
            self.end()
            raise ChildEndedError(f"the server of notebook processes has ended ({error})") from None
        ready = self._receive(monotonic() + START_SECONDS)
        if "failed" in ready.header:
            self.end()
            raise SandboxError(ready.header["failed"])
        self.report: dict[str, str] = ready.header["ready"]

    def request(
        self, header: dict[str, Any], data: bytes, deadline: float, on_output: Callable[[dict[str, Any]], None]
    ) -> Frame:
        """The answer to one request; outputs that come before it go to `on_output`. `deadline` on monotonic's clock.

        Raises OutOfTimeError when it had to be interrupted, and ChildEndedError when there is no answer at all.
        """
        self._channel.settimeout(GRACE_SECONDS)
        try:
            with self._clear_words():
                frames.send(self._channel, header, data)
        except TimeoutError:
            self.end()
            raise ChildEndedError("it takes no requests any more") from None
        interrupted = False
        while True:
            try:
                frame = self._receive(deadline)
            except TimeoutError:
                if interrupted:
                    self.end()
                    raise ChildEndedError("it did not end when it was interrupted") from None
                interrupted, deadline = True, monotonic() + self._grace
                with contextlib.suppress(OSError):  # its supervisor may have ended just now; that is seen next
                    self._line.sendall(b"i")
                continue
            if "output" in frame.header:
                on_output(frame.header["output"])
            elif interrupted:
                raise OutOfTimeError
            else:
                return frame

    def _receive(self, deadline: float) -> Frame:
        """The next frame. Raises TimeoutError, or ChildEndedError."""
        reader = _Patient(self._channel, deadline, self._unread)
        self._unread = b""
        try:
            with self._clear_words():
                frame = frames.receive(reader, self._header_cap)
        except TimeoutError:
            self._unread = b"".join(reader.taken)  # a frame that was half read is read from its start next time
            raise
        if frame is None:
            raise ChildEndedError(self._how_it_ended())
        return frame

    @contextlib.contextmanager
    def _clear_words(self) -> Iterator[None]:
        """Errors of the stream as one sentence about the process."""
        try:
            yield
        except FrameError as error:
            self.end()
            raise ChildEndedError(f"its answer cannot be read: {error}") from None
        except (ConnectionError, BrokenPipeError):
            raise ChildEndedError(self._how_it_ended()) from None

    def _how_it_ended(self) -> str:
        """What its supervisor says."""
        self._line.settimeout(END_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(self._line.recv(1000))
            if said["why"] == "memory":
                return "its processes used more memory than is allowed"
            if said["ended"] is not None and said["ended"] < 0:
                return f"it was ended by signal {-said['ended']}"
            return f"it ended with code {said['ended']}"
        return "it ended"

    def end(self) -> None:
        """End the process and all that it started; returns when its supervisor is gone."""
        self._channel.close()
        if self._line.fileno() < 0:
            return
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_WR)
            self._line.settimeout(END_SECONDS)
            while self._line.recv(1000):
                continue
        self._line.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()


class _Patient:
    """A socket that is read until a deadline, after bytes that were read before. Raises TimeoutError then."""

    def __init__(self, channel: socket.socket, deadline: float, before: bytes) -> None:
        self._channel, self._deadline, self._before = channel, deadline, before
        self.taken: list[bytes] = []

    def recv(self, size: int) -> bytes:
        """Up to `size` bytes."""
        if self._before:
            part, self._before = self._before[:size], self._before[size:]
        else:
            part = self._from_channel(size)
        self.taken.append(part)
        return part

    def _from_channel(self, size: int) -> bytes:
        left = self._deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        self._channel.settimeout(None if left == float("inf") else left)
        return self._channel.recv(size)
