"""The process that draws and compares: `python -m lmlib.course.outside.checker DESCRIPTOR`.

It alone has the reference answers in its memory. Requests come over the socket of the descriptor, one at a time;
it ends when the socket does.
"""

import socket
import sys
from pathlib import Path
from typing import Any

import torch

from lmlib.course.checks import CaseResult, Verdict
from lmlib.course.outside import batch_frames
from lmlib.course.outside.reference import Reference
from lmlib.course.warm import frames
from lmlib.course.warm.frames import Frame


def main(channel: socket.socket) -> None:
    """Answer requests until there are no more."""
    torch.set_num_threads(1)
    known: dict[str, Reference] = {}
    while (request := frames.receive(channel)) is not None:
        try:
            answer = _answer(request, known)
        except Exception as error:  # said to the grader, who raises it: this process serves other submissions, too
            answer = Frame({"error": f"{type(error).__name__}: {error}"})
        frames.send(channel, answer.header, answer.data)


def _answer(request: Frame, known: dict[str, Reference]) -> Frame:
    header = request.header
    path = header["solution"]
    if path not in known:
        known[path] = Reference(Path(path))
    if header["op"] == "open":
        return Frame({"questions": known[path].questions})
    if header["op"] == "draw":
        return batch_frames.join(known[path].requests(header["question"], header["seed"]))
    return Frame(_verdict(known[path], header["question"], header["seed"], batch_frames.split(request)))


def _verdict(reference: Reference, question: str, seed: int, answers: list[Frame | None]) -> dict[str, Any]:
    verdict: Verdict = reference.verdict(question, seed, answers)
    results: list[CaseResult] = verdict.results
    return {
        "score": verdict.score,
        "mistakes": list(verdict.mistakes),
        "text": verdict.text(),
        "cases": {result.case.name: not result.findings for result in results},
    }


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
