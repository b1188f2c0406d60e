"""IPython without a kernel: cells run as ipykernel runs them, and their outputs come out in nbformat's form."""

import asyncio
import base64
import builtins
import getpass
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from ipykernel.compiler import XCachingCompiler
from IPython.core import page
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from traitlets import Type
from traitlets.config import Config

NO_INPUT = "{} was called, but this frontend does not support input requests."  # ipykernel's own words
COLOURS = {"TERM": "xterm-color", "CLICOLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}
PAGERS = {"PAGER": "cat", "GIT_PAGER": "cat"}

Emit = Callable[[dict[str, Any]], None]


class NotebookDisplayHook(DisplayHook):
    """The value of a cell's last line, as an execute_result."""

    shell: Any

    def write_output_prompt(self) -> None:
        """The count stands in the output."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: dict[str, Any] | None = None) -> None:
        """Emit the value in its forms."""
        output = {"output_type": "execute_result", "execution_count": self.prompt_count, "metadata": md_dict or {}}
        self.shell.emit({**output, "data": _as_text(format_dict)})

    def finish_displayhook(self) -> None:
        """No line is drawn below a value."""


class NotebookDisplayPublisher(DisplayPublisher):
    """`display`, its updates, and `clear_output`."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: object = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        """Emit data; an update is marked with the id of the display that it changes."""
        output = {"output_type": "display_data", "data": _as_text(data), "metadata": metadata or {}}
        self.shell.emit({**output, "display_id": (transient or {}).get("display_id"), "update": update})

    def clear_output(self, wait: bool = False) -> None:
        """Emit that the outputs of this cell are to go, at once or when the next comes."""
        self.shell.emit({"output_type": "clear_output", "wait": wait})


def _as_text(data: dict[str, Any]) -> dict[str, Any]:
    """Data with bytes in base64, as nbformat has them."""
    return {
        mime: base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value
        for mime, value in data.items()
    }


class NotebookShell(InteractiveShell):
    """An interactive shell whose outputs go to `emit`."""

    displayhook_class = Type(NotebookDisplayHook)
    display_pub_class = Type(NotebookDisplayPublisher)
    compiler_class = Type(XCachingCompiler)  # names a cell's code as a kernel does: tracebacks and warnings show it

    emit: Emit

    def init_hooks(self) -> None:
        """`name?` asks for a pager, of which a notebook has none."""
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(lambda *_, **__: None), 99)

    def init_virtualenv(self) -> None:
        """The environment is the one of the server."""

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self.emit({"output_type": "error", "ename": etype.__name__, "evalue": str(evalue), "traceback": stb})


InteractiveShellABC.register(NotebookShell)


def make_shell() -> NotebookShell:
    """The shell of this process, with figures shown below their cells. It writes no history and reads no profile."""
    os.environ.update(COLOURS | PAGERS | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"})
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.autoindent = False
    config.IPKernelApp.name = "a notebook"  # by this section programs recognise a notebook (tqdm does)
    shell: NotebookShell = NotebookShell.instance(config=config)
    shell.emit = lambda output: None
    builtins.input = _refuse_input
    getpass.getpass = _refuse_password
    return shell


def _refuse_input(prompt: object = "", /) -> NoReturn:
    raise StdinNotImplementedError(NO_INPUT.format("raw_input"))


def _refuse_password(prompt: str = "", stream: object = None) -> NoReturn:
    raise StdinNotImplementedError(NO_INPUT.format("getpass"))


class CellRunner:
    """Runs cells one after the other in one event loop, which is running while a cell does, as in a kernel."""

    def __init__(self, shell: NotebookShell, emit: Emit) -> None:
        self._shell = shell
        shell.emit = emit
        sys.displayhook = shell.displayhook
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def run(self, source: str) -> tuple[bool, int]:
        """Run one cell; whether it ran through, and its execution count."""
        result = None
        try:
            result = self._loop.run_until_complete(self._run(source))
        except KeyboardInterrupt:
            self._shell.showtraceback()
        finally:
            self._shell.events.trigger("post_execute")
            self._shell.events.trigger("post_run_cell", result)
        count = self._shell.execution_count - 1
        return bool(result and result.success), count

    async def _run(self, source: str) -> Any:
        try:
            transformed, failure = self._shell.transform_cell(source), None
        except Exception:
            transformed, failure = source, sys.exc_info()
        return await self._shell.run_cell_async(
            source, store_history=True, transformed_cell=transformed, preprocessing_exc_tuple=failure
        )
