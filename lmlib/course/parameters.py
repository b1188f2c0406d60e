"""The parameters of a notebook: the names that its cell tagged `parameters` sets, and values from the command line."""

import ast
import json
from typing import Any

from lmlib.course.errors import CourseError
from lmlib.course.notebooks import Notebook

UNKNOWN = object()  # the default of a parameter that is an expression, not a literal


def parameters_of(nb: Notebook) -> dict[str, Any] | None:
    """Name and default of each parameter; None when the notebook has no cell tagged `parameters`."""
    for cell in nb["cells"]:
        if cell["cell_type"] == "code" and "parameters" in cell["metadata"].get("tags", []):
            return _assigned(cell["source"])
    return None


def _assigned(source: str) -> dict[str, Any]:
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return {}  # running the notebook will show the error at its place
    found: dict[str, Any] = {}
    for statement in statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                found[target.id] = _literal(getattr(statement, "value", None))
    return found


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else UNKNOWN
    except ValueError:
        return UNKNOWN


def parse_pairs(pairs: list[str]) -> dict[str, Any]:
    """Names and values from `NAME=VALUE`. Raises CourseError for a pair that lacks its value."""
    for pair in pairs:
        if "=" not in pair:
            raise CourseError(f"-p takes a name and a value, as in: -p seed 3 (given: {pair})")
    return {name: parse_value(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def parse_value(text: str) -> Any:
    """A value as the command line gives it: a Python literal, true/false, or else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        value = ast.literal_eval(text)
        json.dumps(value)
    except (ValueError, SyntaxError, TypeError):
        return text  # so are a set and bytes, which no notebook can be given
    return value


def refuse_unfit(name: str, nb: Notebook, given: dict[str, Any]) -> None:
    """Raise CourseError when a notebook does not have a parameter that is given, or has it in another kind."""
    known = parameters_of(nb)
    if not given:
        return
    if known is None:
        raise CourseError(f"{name} takes no parameters: it has no cell tagged `parameters` (given: {', '.join(given)})")
    for parameter, value in given.items():
        if parameter not in known:
            raise CourseError(f"{name} has no parameter {parameter!r}; it has: {', '.join(known)}")
        default = known[parameter]
        if _kind(default) not in ("any", _kind(value)):
            raise CourseError(
                f"{name}: the parameter {parameter} is {_kind(default)} (default {default!r}), given: {value!r}"
            )


def _kind(value: Any) -> str:
    """What sort of value a parameter takes; `any` when its default does not tell."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list | tuple) else "any"
