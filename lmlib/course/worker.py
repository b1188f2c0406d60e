"""The process that executes one notebook with papermill: `python -m lmlib.course.worker FOLDER`.

The folder holds notebook.ipynb and job.json. Here appear executed.ipynb; `cells`, a line for each cell that
begins; and, when papermill cannot finish, failure.json. The parent (execution.py) watches and judges.
"""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

START_TIMEOUT = 120  # seconds for a kernel to answer; a loaded machine is slow, a dead kernel is seen at once


def main(folder: Path) -> None:
    """Execute the notebook of the folder. A cell's own exception stands in executed.ipynb, not here."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(), folder), daemon=True).start()
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import papermill_engines
    from papermill.exceptions import PapermillExecutionError

    job = json.loads((folder / "job.json").read_text("utf-8"))
    manager = _kernel_manager()
    papermill_engines.register("watched", _watched_engine(folder / "cells", job["server"]))
    try:
        papermill.execute_notebook(
            str(folder / "notebook.ipynb"),
            str(folder / "executed.ipynb"),
            parameters=job["parameters"],
            cwd=job["cwd"],
            engine_name="watched",
            progress_bar=False,
            start_timeout=START_TIMEOUT,
            **({} if job["server"] else {"kernel_manager_class": manager}),
        )
    except PapermillExecutionError:
        pass
    except DeadKernelError as error:
        _fail(folder, "died", str(error) if job["server"] else f"the kernel died: it {manager.how_it_ended}")
    except Exception as error:
        kind = "error" if (folder / "cells").exists() else "start"
        _fail(folder, kind, f"{type(error).__name__}: {error}")


def _watched_engine(cells: Path, server: str | None) -> type:
    """An engine that also writes down each cell that begins: the warm one on a server's address, or papermill's own.

    Papermill would write the whole notebook before and after each cell, which takes longer than most cells. Here it is
    written at the end, also when a cell has failed.
    """

    class WatchedEngine(_engine(server)):  # type: ignore[misc]
        """The engine, watched."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> None:
            begin = nb_man.cell_start

            def cell_start(cell: Any, cell_index: int | None = None, **more: Any) -> None:
                with cells.open("a", encoding="utf-8") as file:
                    file.write(f"{cell.metadata.get('name') or f'cell {cell_index}'}\n")
                begin(cell, cell_index, **more)

            nb_man.cell_start = cell_start
            nb_man.save = lambda **more: None
            try:
                super().execute_managed_notebook(nb_man, kernel_name, **options)
            finally:
                del nb_man.save

    return WatchedEngine


def _engine(server: str | None) -> type:
    if server is None:
        from papermill.engines import NBClientEngine

        return NBClientEngine
    from lmlib.course.warm.client import SOCKET_VARIABLE
    from lmlib.course.warm.engine import WarmEngine

    os.environ[SOCKET_VARIABLE] = server
    return WarmEngine


def _kernel_manager() -> Any:
    """A manager of kernels that says afterwards how its kernel ended: killed by a signal, or with a code."""
    from jupyter_client.manager import AsyncKernelManager

    class WatchedManager(AsyncKernelManager):
        """The manager, watched."""

        how_it_ended = "ended"

        async def _async_is_alive(self) -> bool:
            alive = await super()._async_is_alive()
            code = None if alive else getattr(getattr(self.provisioner, "process", None), "returncode", None)
            if code is not None:
                WatchedManager.how_it_ended = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            return alive

        is_alive = _async_is_alive

    return WatchedManager


def _fail(folder: Path, kind: str, message: str) -> None:
    (folder / "failure.json").write_text(json.dumps({"kind": kind, "message": message}), "utf-8")


def _end_with_parent(parent: int, folder: Path) -> None:
    """When the parent was killed and could not clean up: end the kernel, the folder and this process."""
    import psutil

    while os.getppid() == parent:
        time.sleep(1)
    for process in psutil.Process().children(recursive=True):
        process.kill()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
