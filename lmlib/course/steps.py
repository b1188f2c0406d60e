"""The steps in which a class with state is used: made as plain data by a case, taken with the student's class.

A case of a class question draws `steps(new(...), call("encode", text="low"), read("vocabulary"))`. Arguments go by
keyword. A module computes in the dtype of the data in the steps; its weights are set by `load`, and are the same at
each start if they are drawn.
"""

import contextlib
import copy
from collections.abc import Iterator
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from lmlib.course.calling import outcome_of
from lmlib.course.plain_data import Outcome

Step = dict[str, Any]
GIVING = ("call", "refuses", "read")  # the kinds of steps that give a result to be compared
SHOWN = 30  # characters of an argument


def steps(*made: Step) -> dict[str, Any]:
    """The inputs of a case: its steps in order, the first of which is `new`."""
    return {"steps": list(made)}


def new(**arguments: Any) -> Step:
    """Make an object of the class; the steps after it are with this one."""
    return {"step": "new", "name": "", "arguments": arguments}


def call(method: str, **arguments: Any) -> Step:
    """Call a method; what it returns is compared. `__call__` calls the object itself."""
    return {"step": "call", "name": method, "arguments": arguments}


def do(method: str, **arguments: Any) -> Step:
    """Call a method; what it returns does not matter."""
    return {"step": "do", "name": method, "arguments": arguments}


def refuses(method: str, **arguments: Any) -> Step:
    """Call a method that must raise what the reference raises."""
    return {"step": "refuses", "name": method, "arguments": arguments}


def read(name: str) -> Step:
    """Read an attribute, which is compared; `norm.weight` is one of a part."""
    return {"step": "read", "name": name, "arguments": {}}


def load(weights: dict[str, Tensor]) -> Step:
    """Set all parameters of a module, by their names."""
    return {"step": "load", "name": "", "arguments": weights}


def results_of(inputs: dict[str, Any]) -> list[str]:
    """What the results of a case's steps are called, in order: "`encode(text='low')`"."""
    giving = [step for step in inputs["steps"] if step["step"] in GIVING]
    return [("the outcome of " if step["step"] == "refuses" else "") + _title(step) for step in giving]


def _title(step: Step) -> str:
    """A step as it would be written, without long arguments."""
    kind, name, arguments = step["step"], step["name"], step["arguments"]
    if kind == "read":
        return f"`{name}`"
    if kind == "load":
        return "setting the weights"
    given = [f"{key}={value!r}" if isinstance(value, int | str) else key for key, value in arguments.items()]
    listed = ", ".join(text if len(text) <= SHOWN else text.partition("=")[0] for text in given)
    if kind == "new":
        return f"making an object with ({listed})"
    return f"the call of the object with ({listed})" if name == "__call__" else f"`{name}({listed})`"


def use(made: Any, inputs: dict[str, Any]) -> Outcome:
    """Take the steps with a student's class: the list of the results, or what the first step raised that must not."""
    if not isinstance(made, type):
        return Outcome(raised="TypeError", sentence=f"expected a class; got {type(made).__name__}")
    with _as_if_new(made), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _used(made, inputs["steps"])


@contextlib.contextmanager
def _as_if_new(made: type) -> Iterator[None]:
    """Lists, dicts and sets of the class itself are put back afterwards: what a case leaves there is not for others."""
    own = {name: value for name, value in vars(made).items() if not name.startswith("__")}
    kept = {name: copy.deepcopy(value) for name, value in own.items() if isinstance(value, list | dict | set)}
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(made, name, value)


def _used(made: type, row: list[Step]) -> Outcome:
    results, thing = [], None
    for step in row:
        outcome = outcome_of(partial(_taken, made, thing, step), made)
        if step["step"] == "refuses" and outcome.raised != NotImplementedError.__name__:
            results.append(f"{outcome.raised} is raised" if outcome.raised else "nothing is raised")
        elif outcome.raised:
            return Outcome(raised=outcome.raised, sentence=f"{_title(step)}: {outcome.sentence}")
        elif step["step"] == "new":
            thing = _in_dtype(outcome.value, row)
        elif step["step"] in GIVING:
            results.append(outcome.value)
    return Outcome(results)


def _taken(made: type, thing: Any, step: Step) -> Any:
    kind, name, arguments = step["step"], step["name"], step["arguments"]
    if kind == "new":
        with _single_by_default(issubclass(made, torch.nn.Module)):
            return made(**arguments)
    if kind == "load":
        return _load(thing, arguments)
    found = attrgetter(name)(thing)
    return _snapshot(found if kind == "read" else found(**arguments))


@contextlib.contextmanager
def _single_by_default(wanted: bool) -> Iterator[None]:
    """A module's first numbers are drawn in float32: in another dtype they would be others."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if wanted else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _in_dtype(thing: Any, row: list[Step]) -> Any:
    """A module in the dtype of the first floating-point tensor of its steps."""
    data = (value for step in row for value in step["arguments"].values() if isinstance(value, Tensor))
    dtypes = (value.dtype for value in data if value.is_floating_point())
    return thing.to(next(dtypes, torch.float32)) if isinstance(thing, torch.nn.Module) else thing


def _load(module: Any, weights: dict[str, Tensor]) -> None:
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"the class must be a torch.nn.Module; this one makes a {type(module).__name__}")
    own = dict(module.named_parameters())
    if own.keys() != weights.keys():
        raise ValueError(
            f"its parameters are {', '.join(sorted(own)) or 'none'}; expected {', '.join(sorted(weights))}"
        )
    for name, value in weights.items():
        if own[name].shape != value.shape:
            raise ValueError(f"{name} has shape {tuple(own[name].shape)}; expected {tuple(value.shape)}")
        own[name].data = value.clone()


def _snapshot(value: Any) -> Any:
    """A result as it is now: later steps may change the object that it belongs to."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple):
        return [_snapshot(item) for item in value]
    if isinstance(value, dict):
        return {key: _snapshot(item) for key, item in value.items()}
    return value
