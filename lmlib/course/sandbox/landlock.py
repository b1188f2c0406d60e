"""Landlock: which paths this process and its children may read and write, whatever else they become."""

import ctypes
import os

from lmlib.course.sandbox import kernel

RULE_PATH_BENEATH = 1
VERSION_FLAG = 1
READ_FILE, READ_DIR, EXECUTE = 1 << 2, 1 << 3, 1 << 0
FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15  # execute, write, read, truncate, ioctl
ALL_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))  # version, number of rights on files that it knows
NO_NETWORK = 0b11  # since version 4: bind and connect
SCOPES = 0b11  # since version 6: abstract sockets and signals stay inside


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """The version that this kernel offers. Raises OSError when it offers none."""
    return kernel.system_call("landlock_create_ruleset", None, 0, VERSION_FLAG)


def restrict(readable: tuple[str, ...], writable: tuple[str, ...]) -> int:
    """From now on only these paths, and what lies below them, can be opened; gives the version. Raises OSError."""
    offered = version()
    rights = next((1 << count) - 1 for since, count in reversed(ALL_RIGHTS) if offered >= since)
    attributes = (ctypes.c_uint64 * 3)(rights, NO_NETWORK if offered >= 4 else 0, SCOPES if offered >= 6 else 0)
    size = 24 if offered >= 6 else 16 if offered >= 4 else 8
    ruleset = kernel.system_call("landlock_create_ruleset", ctypes.byref(attributes), size, 0)
    for path in readable:
        _allow(ruleset, path, READ_FILE | READ_DIR | EXECUTE)
    for path in writable:
        _allow(ruleset, path, rights)
    kernel.system_call("landlock_restrict_self", ruleset, 0)
    os.close(ruleset)
    return offered


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    rights = rights if os.path.isdir(path) else rights & FILE_RIGHTS
    rule = _PathBeneath(rights, folder)
    kernel.system_call("landlock_add_rule", ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(folder)
