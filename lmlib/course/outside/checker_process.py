"""The checker, started and asked."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from lmlib.course.checking import environment
from lmlib.course.errors import WorkFailedError
from lmlib.course.outside import batch_frames
from lmlib.course.warm import frames
from lmlib.course.warm.frames import Frame

END_SECONDS = 10


class Checker:
    """A running checker; `seconds` for an answer."""

    def __init__(self, seconds: float) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(seconds)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lmlib.course.outside.checker", str(theirs.fileno())],
                env=environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._process.poll() is None

    def open(self, solution: Path) -> None:
        """Load an assignment. Raises WorkFailedError when it cannot be."""
        self._ask(Frame({"op": "open", "solution": str(solution)}))

    def draw(self, solution: Path, question: str, seed: int) -> list[Frame]:
        """The requests to a child for one question."""
        header = {"op": "draw", "solution": str(solution), "question": question, "seed": seed}
        return [frame for frame in batch_frames.split(self._ask(Frame(header))) if frame]

    def judge(self, solution: Path, question: str, seed: int, answers: list[Frame | None]) -> dict[str, Any]:
        """The verdict on a child's answers: score, mistakes, text."""
        header = {"op": "judge", "solution": str(solution), "question": question, "seed": seed}
        return self._ask(batch_frames.join(answers, **header)).header

    def _ask(self, request: Frame) -> Frame:
        try:
            frames.send(self._channel, request.header, request.data)
            answer = frames.receive(self._channel)
        except OSError as error:
            self._process.kill()  # an answer that comes later would be taken for that of the next question
            raise WorkFailedError(f"the checker does not answer ({error}); grade this submission again") from None
        if answer is None:
            raise WorkFailedError("the checker has ended; its message is above")
        if "error" in answer.header:
            raise WorkFailedError(f"the checker failed: {answer.header['error']}")
        return answer

    def close(self) -> None:
        """End the process."""
        self._channel.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
