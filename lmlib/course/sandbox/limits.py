"""Limits of the kernel on one process and its children, and the watch on the memory of all of them together."""

import resource
from pathlib import Path

from lmlib.course.sandbox.policy import Policy

FILES = 256
KIB = 1024


def set_limits(policy: Policy) -> None:
    """Set the limits of this process. Memory is counted on top of what it has now. Raises OSError."""
    memory = _status("/proc/self/status", "VmData") + policy.memory
    for name, limit in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, policy.seconds),
        (resource.RLIMIT_FSIZE, policy.disk),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_NPROC, policy.processes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 1 << 20),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(name, (limit, limit))


def memory_used(own: int) -> int:
    """Bytes of memory of all processes of this namespace but `own`: what belongs to one of them alone or is shared."""
    used = 0
    for process in Path("/proc").iterdir():
        if process.name.isdecimal() and int(process.name) != own:
            used += memory_of(f"{process}/status")
    return used


def memory_of(status: str) -> int:
    """Bytes of one process, given its status file."""
    return _status(status, "RssAnon", "RssShmem")


def _status(path: str, *names: str) -> int:
    """The sum of some lines of a process's status, in bytes; 0 when the process has ended."""
    try:
        lines = Path(path).read_text("ascii", errors="replace").splitlines()
    except OSError:
        return 0
    rows = (line.partition(":") for line in lines)
    return sum(KIB * int(value.split()[0]) for name, _, value in rows if name in names)
