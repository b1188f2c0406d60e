"""System calls that Python does not offer, made through libc. Linux on x86-64 and 64-bit ARM."""

import ctypes
import os
import platform

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000
CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWCGROUP = 0x20000000, 0x40000000, 0x04000000, 0x02000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
AT_FDCWD, AT_RECURSIVE = -100, 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 1, 2

SYSTEM_CALLS = {  # numbers: x86-64, 64-bit ARM
    "capset": (126, 91),
    "pivot_root": (155, 41),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}


def architecture() -> int:
    """The column of this machine in tables of system calls. Raises OSError on another one."""
    known = {"x86_64": 0, "aarch64": 1}
    if platform.machine() not in known:
        raise OSError(f"the sandbox knows x86-64 and 64-bit ARM; this machine is {platform.machine()}")
    return known[platform.machine()]


def system_call(name: str, *arguments: object) -> int:
    """Make a system call of the table. Raises OSError."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(SYSTEM_CALLS[name][architecture()]), *converted), name)


def unshare(flags: int) -> None:
    """New namespaces for this process (for its children, where it is the one of process ids). Raises OSError."""
    _checked(_LIBC.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount. Raises OSError."""
    done = _LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _checked(done, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    """Take a mount away from this process's view, at once. Raises OSError."""
    _checked(_LIBC.umount2(target.encode(), MNT_DETACH), f"unmount {target}")


def prctl(option: int, *arguments: object) -> None:
    """prctl with up to four arguments. Raises OSError."""
    filled = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in arguments] + [ctypes.c_ulong(0)] * 4
    _checked(_LIBC.prctl(option, *filled[:4]), f"prctl {option}")


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
