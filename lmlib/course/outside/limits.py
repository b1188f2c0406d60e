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
    outputs: int = 16 * MIB  # characters of all cells together
    notebook: int = 20 * MIB
    cells: int = 1000

    @classmethod
    def for_cells(cls, seconds: float) -> "Limits":
        """Those under which a cell may take so long; a whole submission has time for five such cells, or as ever."""
        return cls(cell_seconds=seconds, seconds=max(cls.seconds, 5 * seconds))
