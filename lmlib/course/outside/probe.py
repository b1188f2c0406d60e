"""What a notebook's process does when the grader asks: it asks an answer by its name, or reads names.

It runs beside the student's code, which may change it: nothing that it says is more than data to be compared.
"""

import copy
from typing import Any

from lmlib.course.asking import WAYS, ask
from lmlib.course.outside import wire
from lmlib.course.plain_data import Outcome
from lmlib.course.warm.frames import Frame

SENTENCE = 500  # characters


def answer(request: Frame, names: dict[str, Any]) -> Frame:
    """`{"op", "name", "inputs"}`: the outcome of asking in the way `op`; `{"op": "value", "name"}`: what a name is."""
    way, answer = request.header["op"], names.get(request.header["name"])
    try:
        if way in WAYS:
            return _asked(way, answer, wire.unpack(request.header["inputs"], request.data))
        described, data = wire.pack(answer)
        return Frame({"value": described}, data)
    except BaseException as error:  # also what a cell made an exception of: the process goes on with the next question
        return _raised(Outcome(raised=type(error).__name__, sentence=f"{type(error).__name__}: {error}"))


def _asked(way: str, answer: Any, inputs: dict[str, Any]) -> Frame:
    """The outcome, with the names of inputs that were changed."""
    before = copy.deepcopy(inputs)
    outcome = ask(way, answer, inputs)
    if outcome.raised:
        return _raised(outcome)
    changed = [name for name in before if wire.pack(before[name]) != wire.pack(inputs[name])]
    described, data = wire.pack(outcome.value)
    return Frame({"value": described, "changed": changed}, data)


def _raised(outcome: Outcome) -> Frame:
    return Frame({"raised": outcome.raised, "sentence": outcome.sentence[:SENTENCE]})
