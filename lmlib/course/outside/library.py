"""What of lmlib a submission may import: the modules that the released notebook itself imports, and theirs.

What a question asks for is not among them: it can be neither imported nor read.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[2]  # the folder of lmlib
STOOD_IN = "lmlib.course.checks"  # see warm/stand_in.py


def needed_files(release: dict[str, Any]) -> tuple[str, ...]:
    """The files of lmlib that the code of a released notebook needs, with all that they import in turn."""
    found: dict[str, Path] = {}
    waiting = ["lmlib"]
    for cell in release["cells"]:
        if cell["cell_type"] == "code":
            waiting += _imported(_without_magics(cell["source"]))
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in found or name == STOOD_IN or path is None:
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0] or "lmlib", *_imported(path.read_text("utf-8"))]
    return tuple(sorted(map(str, found.values())))


def _without_magics(source: str) -> str:
    return "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))


def _imported(source: str) -> Iterator[str]:
    """The names of modules of lmlib that some code imports, wherever in it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "lmlib")


def _file_of(name: str) -> Path | None:
    place = PACKAGE.joinpath(*name.split(".")[1:])
    if (place / "__init__.py").is_file():
        return place / "__init__.py"
    return place.with_suffix(".py") if place.with_suffix(".py").is_file() and name != "lmlib" else None
