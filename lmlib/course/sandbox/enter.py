"""The layers in their order: namespaces before the process that watches is forked, the others in the one watched.

server ─ fork ─ `separate` ─ fork ─ `settle` (process 1, watches) ─ fork ─ `restrict` (runs the notebook)
"""

import ctypes
import os

from lmlib.course.sandbox import kernel, landlock, limits, root, seccomp
from lmlib.course.sandbox.policy import Policy, SandboxError

NOBODY = 65534
INSIDE = 1000  # the user that a sandboxed process sees itself to be
SEPARATE = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC
CAPABILITY_VERSION = 0x20080522

Report = dict[str, str]  # a layer, and what it does


def separate() -> None:
    """New namespaces: an ordinary user gets them in a user namespace of their own, root without it.

    The children of this process are in the new namespace of process ids. Raises SandboxError.
    """
    user, group = os.getuid(), os.getgid()
    try:
        if user != 0:
            kernel.unshare(kernel.CLONE_NEWUSER)
            _be(INSIDE, user, group)
        kernel.unshare(SEPARATE)
    except OSError as error:
        raise SandboxError(f"namespaces: {error.strerror}") from None


def settle(policy: Policy, at: str) -> Report:
    """Process 1 of the namespace: a file system of its own, on the folder `at`; root becomes nobody.

    Raises SandboxError.
    """
    try:
        root.enter(policy, at)
    except OSError as error:
        raise SandboxError(f"a file system of its own: {error.strerror}") from None
    if os.getuid() == 0:
        _become_nobody()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    return {
        "namespaces": "user, pid, net, mount, ipc",
        "file system": f"{len(policy.readable)} paths read-only, a private folder of {policy.disk >> 20} MiB",
        "memory watch": f"{policy.memory >> 20} MiB for all processes together",
    }


def restrict(policy: Policy) -> Report:
    """The process that runs the notebook: limits, no capability, Landlock, seccomp. Raises SandboxError."""
    report = {}
    try:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        limits.set_limits(policy)
        report["resource limits"] = f"{policy.memory >> 20} MiB a process, {policy.processes} processes"
        _drop_capabilities()
        writable = (root.SCRATCH, "/dev/shm", "/dev/pts", "/dev/null")
        report["Landlock"] = f"version {landlock.restrict(('/',), writable)}"
        report["seccomp"] = f"{seccomp.install()} system calls refused"
    except OSError as error:
        raise SandboxError(str(error.strerror or error)) from None
    return report


def _become_nobody() -> None:
    """Root leaves for a user that owns nothing, in a user namespace of its own."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # leaving root took it, and the maps below could not be written
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
        _be(INSIDE, NOBODY, NOBODY)
    except OSError as error:
        raise SandboxError(f"a user namespace: {error.strerror}") from None


def _be(inside: int, user: int, group: int) -> None:
    """Say which user outside the one inside is."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{inside} {user} 1"), ("gid_map", f"{inside} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _drop_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    kernel.system_call("capset", ctypes.byref(header), ctypes.byref(nothing))
