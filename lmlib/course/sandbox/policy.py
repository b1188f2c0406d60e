"""What a sandboxed process may see and use."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lmlib.course.errors import WorkFailedError

MIB = 1 << 20
SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/localtime",
    "/sys/devices/system/cpu",
)
DEVICES = ("/dev/null", "/dev/random", "/dev/urandom", "/dev/full")


class SandboxError(WorkFailedError):
    """A layer of the sandbox cannot be had here; the message says which, and why."""

    def __init__(self, said: str) -> None:
        super().__init__(
            f"the sandbox cannot be had here: {said}. Grade on a machine that offers it (`lmbook doctor` looks),"
            " or with --sandbox=off, if you trust every submission"
        )
        self.said = said

    def __reduce__(self) -> tuple[type["SandboxError"], tuple[str]]:
        return SandboxError, (self.said,)  # a worker on another machine says it here


@dataclass(frozen=True)
class Policy:
    """Paths that can be read, folders below them that cannot, and what may be used up.

    `memory` in bytes for all processes together, beyond what the server had; `disk` in bytes for the private folder.
    """

    readable: tuple[str, ...]
    hidden: tuple[str, ...]
    memory: int = 2048 * MIB
    disk: int = 64 * MIB
    processes: int = 64
    seconds: int = 120  # of processor time


def interpreter() -> tuple[str, ...]:
    """The folders of this Python and of its packages, and of the system below them, as they are on this machine."""
    folders = {sys.prefix, sys.base_prefix, os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix)}
    kept = [f for f in sorted(folders) if not any(f != other and Path(f).is_relative_to(other) for other in folders)]
    return tuple(path for path in (*SYSTEM, *kept) if os.path.lexists(path) and not _inside_system(path))


def _inside_system(path: str) -> bool:
    return any(path != top and Path(path).is_relative_to(top) and Path(top).is_dir() for top in SYSTEM)
