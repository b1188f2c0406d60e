"""A file system of its own: the readable paths, read-only, at their places; nothing else of the machine is there."""

import ctypes
import os
from pathlib import Path

from lmlib.course.sandbox import kernel
from lmlib.course.sandbox.policy import DEVICES, Policy

SCRATCH = "/scratch"  # the private folder, and with it /tmp unless something readable lies there


def enter(policy: Policy, at: str) -> None:
    """Make the file system on the folder `at`, and make it this process's own. Needs new mount and pid namespaces.

    Raises OSError.
    """
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", at, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=4m,mode=755")
    for path in (*policy.readable, *DEVICES):
        if os.path.lexists(path) and path not in policy.hidden:
            _show(path, at)
    for path in policy.hidden:
        if os.path.isdir(at + path):
            _hide(path, at, policy)
    for folder in (SCRATCH, "/proc", "/dev/shm", "/dev/pts", "/.old"):
        os.makedirs(at + folder, exist_ok=True)
    if not os.path.lexists(f"{at}/tmp"):
        os.symlink(SCRATCH, f"{at}/tmp")
    os.symlink("pts/ptmx", f"{at}/dev/ptmx")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{at}/dev/{name}")
    os.symlink("/proc/self/fd", f"{at}/dev/fd")
    _make_read_only(at)
    nothing_special = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", at + SCRATCH, "tmpfs", nothing_special, f"size={policy.disk},nr_inodes=16k,mode=1777")
    kernel.mount("tmpfs", f"{at}/dev/shm", "tmpfs", nothing_special, f"size={policy.disk},nr_inodes=1k,mode=1777")
    kernel.mount("devpts", f"{at}/dev/pts", "devpts", kernel.MS_NOSUID, "newinstance,ptmxmode=0666,mode=620")
    kernel.mount("proc", f"{at}/proc", "proc", nothing_special)
    kernel.system_call("pivot_root", at.encode(), f"{at}/.old".encode())
    os.chdir("/")
    kernel.unmount("/.old")


def _show(path: str, at: str) -> None:
    """Bind a path below `at`; a link is made anew. Links in its parent folders are followed on the machine."""
    os.makedirs(os.path.dirname(at + path), exist_ok=True)
    if os.path.islink(path):
        if not os.path.lexists(at + path):
            os.symlink(os.readlink(path), at + path)
    elif os.path.isdir(path):
        os.makedirs(at + path, exist_ok=True)
        kernel.mount(path, at + path, flags=kernel.MS_BIND | kernel.MS_REC)
    else:
        Path(at + path).touch()
        kernel.mount(path, at + path, flags=kernel.MS_BIND)


def _hide(path: str, at: str, policy: Policy) -> None:
    """Put an empty folder over a hidden one, with the readable paths that lie in it."""
    inside = [p for p in policy.readable if p != path and Path(p).is_relative_to(path)]
    kernel.mount("tmpfs", at + path, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    for kept in inside:
        _show(kept, at)


def _make_read_only(at: str) -> None:
    """Everything that is mounted below `at`, in one call."""
    attributes = (ctypes.c_uint64 * 4)(kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID, 0, 0, 0)
    size = ctypes.sizeof(attributes)
    kernel.system_call(
        "mount_setattr", kernel.AT_FDCWD, at.encode(), kernel.AT_RECURSIVE, ctypes.byref(attributes), size
    )
