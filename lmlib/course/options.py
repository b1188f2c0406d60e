"""Options that several commands have."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Sandbox(StrEnum):
    on = "on"
    off = "off"


Timeout = Annotated[float, typer.Option(min=1, help="Seconds that a cell may take.")]

Untrusted = Annotated[
    Path | None,
    typer.Option(
        metavar="SECRET",
        help="Run them in a sandbox, and check from outside on inputs drawn from the secret in this file "
        "(made when it is not there).",
    ),
]

SandboxOption = Annotated[Sandbox, typer.Option(help="off: outside checks without the sandbox.")]

Scheduler = Annotated[
    str | None,
    typer.Option(help="Let the workers of this Dask scheduler do it, such as tcp://host:8786.", metavar="ADDRESS"),
]
