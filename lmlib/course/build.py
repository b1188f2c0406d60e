"""Text notebooks executed, with the .ipynb beside each: the same file again when the outputs are the same."""

from pathlib import Path
from typing import Any

from lmlib.course import book, notebooks
from lmlib.course.errors import WorkFailedError
from lmlib.course.execution import execute


def build_all(paths: list[Path]) -> None:
    """Build the text notebooks at `paths` (all when empty). Raises WorkFailedError at a failing cell."""
    for text in book.select_texts(paths, book.root()):
        print(f"{book.shown(text)} ...", end=" ", flush=True)
        try:
            build(text)
        except BaseException:
            print()
            raise
        print("built")


def build(text: Path) -> Path:
    """Execute a text notebook in its own folder and write its .ipynb; if a cell fails, the old one stays."""
    source = notebooks.read_text(text)
    execution = execute(source, text.parent, parameters={})
    if execution.failure or execution.notebook is None:
        raise WorkFailedError(f"{book.shown(text)}: {execution.failure}")
    # Only outputs and execution counts come from the run: everything else is as in the text.
    executed = zip(execution.notebook["cells"], source["cells"], strict=True)
    cells = [_joined({**done, "metadata": cell["metadata"]}) for done, cell in executed]
    target = text.with_suffix(".ipynb")
    notebooks.write({**source, "cells": cells}, target)
    return target


def _joined(cell: dict[str, Any]) -> dict[str, Any]:
    """The cell with neighbouring pieces of one stream as one output: where the kernel parts them is chance.

    (nbclient can do this too, in time that grows with the square of a line's length.)
    """
    if cell["cell_type"] != "code":
        return cell
    outputs: list[dict[str, Any]] = []
    for output in cell["outputs"]:
        last = outputs[-1] if outputs else {}
        if output["output_type"] == "stream" and last.get("name") == output["name"]:
            outputs[-1] = {**last, "text": last["text"] + output["text"]}
        else:
            outputs.append(output)
    return {**cell, "outputs": outputs}
