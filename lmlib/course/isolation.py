"""What this machine offers to keep a student's program in bounds: each means is tried, in a child of its own.

Linux only; elsewhere nothing is offered.
"""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

SECCOMP_MODE_FILTER = 2


def probe() -> dict[str, str | None]:
    """Each means of isolation, with what was found, or None where the machine does not offer it."""
    if sys.platform != "linux":
        return dict.fromkeys(("user namespaces", "Landlock", "seccomp", "control groups v2", "resource limits"))
    return {
        "user namespaces": "user, pid, net, mount, ipc" if _in_child(_unshare) else None,
        "Landlock": _landlock(),
        "seccomp": "filters" if _in_child(_seccomp_filter_is_known) else None,
        "control groups v2": _control_groups(),
        "resource limits": "memory, processor time, files" if _in_child(_limit_memory) else None,
    }


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


def _unshare() -> bool:
    from lmlib.course.sandbox import enter, kernel

    try:
        kernel.unshare(kernel.CLONE_NEWUSER | enter.SEPARATE)
    except OSError:
        return False
    return True


def _landlock() -> str | None:
    from lmlib.course.sandbox import landlock

    try:
        return f"version {landlock.version()}"
    except OSError:
        return None


def _seccomp_filter_is_known() -> bool:
    """The kernel refuses a filter at address 0 with EFAULT when it knows filters, and with EINVAL when not."""
    from lmlib.course.sandbox import kernel

    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    try:
        kernel.prctl(kernel.PR_SET_SECCOMP, SECCOMP_MODE_FILTER, None)
    except OSError as error:
        return error.errno == errno.EFAULT
    return False


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
