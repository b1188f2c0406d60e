"""The papermill engine `warm`: a notebook runs in a process forked from a server, and gives a kernel's outputs.

The server is the one whose address stands in LMBOOK_WARM_SERVER, or else one of this engine's own.
"""

import contextlib
import os
from collections.abc import Iterator
from time import monotonic
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import from_dict
from papermill.engines import Engine

from lmlib.course.warm.client import SOCKET_VARIABLE, Child, ChildEndedError, OutOfTimeError, WarmServer
from lmlib.course.warm.outputs import Output, Outputs

FOR_EVER = float("inf")
SKIPPED = "skip-execution"
MAY_FAIL = "raises-exception"


class CellFailedError(Exception):
    """A cell raised; what it raised stands in its outputs."""


class WarmEngine(Engine):
    """papermill's interface to the server. `execution_timeout` in seconds for each cell."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, execution_timeout: float | None = None, **options: Any
    ) -> None:
        """Run the code cells up to the first that raises, with what papermill wants to know of each."""
        folder = os.path.abspath(options.get("cwd") or os.getcwd())
        with _address() as address, _child(address, folder) as child:
            outputs = Outputs()
            shown: list[tuple[Any, list[Output]]] = []
            for index, cell in enumerate(nb_man.nb.cells):
                try:
                    nb_man.cell_start(cell, index)
                    if cell.cell_type == "code" and cell.source.strip() and SKIPPED not in _tags(cell):
                        shown.append((cell, outputs.begin()))
                        _run(child, *shown[-1], outputs, execution_timeout or FOR_EVER)
                except CellFailedError as error:
                    nb_man.cell_exception(cell, cell_index=index, exception=error)
                    break
                finally:
                    nb_man.cell_complete(cell, cell_index=index)
            for cell, own in shown:
                cell.outputs = from_dict(own)  # once more: a later cell may have updated a display


def _child(address: str, folder: str) -> Child:
    try:
        return Child(address, folder, dict(os.environ))
    except ChildEndedError as error:
        raise DeadKernelError(str(error)) from None


def _run(child: Child, cell: Any, shown: list[Output], outputs: Outputs, seconds: float) -> None:
    try:
        request = {"op": "execute", "source": cell.source}
        answer = child.request(request, b"", monotonic() + seconds, outputs.add).header
    except OutOfTimeError:
        raise CellTimeoutError.error_from_timeout_and_cell("Cell execution timed out", int(seconds), cell) from None
    except ChildEndedError as error:
        raise DeadKernelError(str(error)) from None
    finally:
        cell.outputs = from_dict(shown)
    cell.execution_count = answer["count"]
    if not answer["done"] and MAY_FAIL not in _tags(cell):
        raise CellFailedError


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


@contextlib.contextmanager
def _address() -> Iterator[str]:
    if SOCKET_VARIABLE in os.environ:
        yield os.environ[SOCKET_VARIABLE]
        return
    with WarmServer(dict(os.environ)) as server:
        yield server.address
