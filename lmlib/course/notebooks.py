"""Notebooks as text and as .ipynb: reading, stable cell ids, stripping, writing without half-written files.

The text file (jupytext, `py:percent`) is the source. Each cell has a name, `# %% name="why-scale"`, which
becomes the id of the cell in the .ipynb beside it: ids are the same at every build, and other files can point
at a cell.
"""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmlib.course import safe_json
from lmlib.course.errors import CourseError

Notebook = dict[str, Any]

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


class NotebookError(CourseError):
    """A notebook that cannot be used, with the reason and what to do, in one sentence."""


def read_text(path: Path) -> Notebook:
    """Read a `py:percent` file as a notebook without outputs.

    The notebook carries the kernel `python3` and nothing of jupytext: it is never paired with its text.
    Raises NotebookError when a cell has no name, or two cells have the same one.
    """
    import jupytext

    nb: Notebook = json.loads(json.dumps(jupytext.read(path, fmt="py:percent")))
    nb["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    nb["nbformat"], nb["nbformat_minor"] = 4, 5
    names = [cell["metadata"].get("name") for cell in nb["cells"]]
    for cell, name in zip(nb["cells"], names, strict=True):
        if not name:
            first_line = cell["source"].strip().partition("\n")[0]
            raise NotebookError(f'{path}: the cell "{first_line}" has no name; write # %% name="..." above it')
        cell["id"] = name
        cell["metadata"].pop("lines_to_next_cell", None)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise NotebookError(f"{path}: two cells are named {', '.join(repeated)}; names must differ")
    return nb


def read(path: Path) -> Notebook:
    """Read an `.ipynb` file, or a text notebook, by its ending. Raises NotebookError with what is wrong."""
    if path.suffix == ".py":
        return read_text(path)
    try:
        nb = safe_json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise NotebookError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise NotebookError(f"{path}: this is a folder, not a notebook") from None
    except (UnicodeDecodeError, ValueError) as error:
        raise NotebookError(f"{path}: this is not a notebook (no valid JSON: {error})") from None
    cells = nb.get("cells") if isinstance(nb, dict) else None
    if not isinstance(cells, list) or not all(_is_cell(cell) for cell in cells):
        raise NotebookError(f"{path}: this is not a notebook (no list of cells; nbformat 4 is needed)")
    if not isinstance(nb.setdefault("metadata", {}), dict):
        raise NotebookError(f"{path}: this is not a notebook (its metadata are no names with values)")
    return _converted(nb, _joined)


def _joined(text: Any) -> Any:
    """Lines as one text; what is no list of lines stays as it is, and is refused by whoever needs a text."""
    return "".join(text) if isinstance(text, list) and all(isinstance(line, str) for line in text) else text


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or "cell_type" not in cell or not isinstance(cell.get("metadata"), dict):
        return False
    outputs = cell.get("outputs", [])
    return isinstance(outputs, list) and all(
        isinstance(output, dict) and isinstance(output.get("data", {}), dict) for output in outputs
    )


def strip(nb: Notebook) -> Notebook:
    """The same notebook without outputs, execution counts and traces of a run in the metadata."""
    cells = []
    for cell in nb["cells"]:
        metadata = {k: v for k, v in cell["metadata"].items() if k not in ("execution", "papermill")}
        cell = {**cell, "metadata": metadata}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        cells.append(cell)
    metadata = {k: v for k, v in nb["metadata"].items() if k not in ("papermill", "widgets", "jupytext")}
    return {**nb, "cells": cells, "metadata": metadata}


def write(nb: Notebook, path: Path) -> None:
    """Write a notebook in one step: after a crash or on a full disk the old file is still whole."""
    split = _converted(nb, lambda text: text.splitlines(keepends=True) if isinstance(text, str) else text)
    write_atomically(path, json.dumps(split, ensure_ascii=False, indent=1, sort_keys=True) + "\n")


def _converted(nb: Notebook, convert: Callable[[Any], Any]) -> Notebook:
    """The same notebook with sources and text outputs converted: in files they are lists of lines."""
    cells = []
    for cell in nb["cells"]:
        cell = {**cell, "source": convert(cell.get("source", ""))}
        if "outputs" in cell:
            cell["outputs"] = [_converted_output(output, convert) for output in cell["outputs"]]
        cells.append(cell)
    return {**nb, "cells": cells}


def _converted_output(output: dict[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
    output = dict(output)
    if "text" in output:
        output["text"] = convert(output["text"])
    if "data" in output:
        texts = {mime for mime in output["data"] if mime.startswith("text/") or mime == "image/svg+xml"}
        output["data"] = {m: convert(data) if m in texts else data for m, data in output["data"].items()}
    return output


def same_source(text: Notebook, built: Notebook) -> bool:
    """Whether a built notebook has the cells, ids and metadata of its text; outputs are not compared."""
    return strip(text) == strip(built)


def write_atomically(path: Path, text: str) -> None:
    """Write text beside `path`, then put it in its place. Raises OSError and then leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
