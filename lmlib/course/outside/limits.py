"""What a submission may use up."""

from dataclasses import dataclass

from lmlib.course.warm.client import GRACE_SECONDS

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Times in seconds, sizes in bytes (`output` in characters for each cell)."""

    cell_seconds: float = 60
    call_seconds: float = 10
    grace_seconds: float = GRACE_SECONDS  # for either to end after it was interrupted
    seconds: float = 300  # for the whole submission
    checker_seconds: float = 120
    memory: int = 2048 * MIB  # of all its processes together, beyond the imports
    disk: int = 64 * MIB
    processes: int = 64
    output: int = MIB
    notebook: int = 20 * MIB
    cells: int = 1000
