"""What this machine offers to keep a student's program in bounds: each means is tried, in a child of its own.

Linux only; elsewhere nothing is offered. The calls are the kernel's own, made through libc.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
LANDLOCK_CREATE_RULESET = 444  # the number of the system call, the same on every architecture
LANDLOCK_VERSION_FLAG = 1
PR_SET_NO_NEW_PRIVS, PR_GET_SECCOMP, PR_SET_SECCOMP = 38, 21, 22
SECCOMP_MODE_FILTER = 2
EFAULT = 14


def probe() -> dict[str, str | None]:
    """Each means of isolation, with what was found, or None where the machine does not offer it."""
    if sys.platform != "linux":
        return dict.fromkeys(("user namespaces", "Landlock", "seccomp", "control groups v2", "resource limits"))
    separate = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC
    return {
        "user namespaces": "user, pid, net, mount, ipc" if _in_child(lambda: _unshare(separate)) else None,
        "Landlock": _landlock(),
        "seccomp": "filters" if _in_child(_seccomp_filter_is_known) else None,
        "control groups v2": _control_groups(),
        "resource limits": "memory, processor time, files" if _in_child(_limit_memory) else None,
    }


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _in_child(attempt: Callable[[], bool]) -> bool:
    """Whether an attempt succeeds, made in a child process because it changes the process that makes it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if attempt() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _unshare(flags: int) -> bool:
    return _libc().unshare(flags) == 0


def _landlock() -> str | None:
    version = _libc().syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION_FLAG)
    return f"version {version}" if version > 0 else None


def _seccomp_filter_is_known() -> bool:
    """The kernel refuses a filter at address 0 with EFAULT when it knows filters, and with EINVAL when not."""
    libc = _libc()
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    refused = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, None, 0, 0) == -1
    return refused and ctypes.get_errno() == EFAULT


def _control_groups() -> str | None:
    """Version 2, and whether a group can be made below our own (a memory limit for a whole group needs that)."""
    top = Path("/sys/fs/cgroup")
    if not (top / "cgroup.controllers").is_file():
        return None
    own = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].lstrip("/")
    return "writable" if os.access(top / own, os.W_OK) else "read-only"


def _limit_memory() -> bool:
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (1 << 28, 1 << 28))
    try:
        bytearray(1 << 29)
    except MemoryError:
        return True
    return False
