"""A filter on system calls: those of a list are refused, a few others by their arguments.

The program is classic BPF, as the kernel takes it: for each call of the list a comparison and a jump.
"""

import ctypes
import errno
import struct

from lmlib.course.sandbox import kernel

AUDIT_ARCHITECTURES = (0xC000003E, 0xC00000B7)
X32 = 0x40000000  # numbers from here on are calls of the x32 interface, by which a list could be walked round
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data; an argument has 8 bytes
LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NEW_NAMESPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
)  # fmt: skip
SHARED_ANONYMOUS = 0x21  # memory that outlives the process that filled it, and counts for nobody
TIOCSTI, TIOCLINUX = 0x5412, 0x541C  # typing into a terminal

# numbers on x86-64 and 64-bit ARM; -1: this machine has no such call
REFUSED = {
    # other processes, and debugging
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282),
    "process_madvise": (440, 440),
    # the file system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    "mknod": (133, -1), "mknodat": (259, 33),
    # namespaces, keys, and the machine
    "unshare": (272, 97), "setns": (308, 268), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "syslog": (103, 116), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162),
    "iopl": (172, -1), "ioperm": (173, -1), "personality": (135, 92),
    # memory that no limit counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # the network, and rings that make calls without making calls
    "socket": (41, 198), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
}  # fmt: skip
BY_ARGUMENT = {  # call: numbers, index of the argument, bits that must not all be set
    "clone": ((56, 220), 0),
    "mmap": ((9, 222), 3),
    "ioctl": ((16, 29), 1),
}
CLONE3 = (435, 435)  # its flags lie in memory, which a filter cannot read: the C library then falls back to clone


def install() -> int:
    """Install the filter on this process and its children; gives the number of calls in it. Raises OSError."""
    instructions = b"".join(program(kernel.architecture()))
    buffer = ctypes.create_string_buffer(instructions)
    described = struct.pack("HxxxxxxQ", len(instructions) // 8, ctypes.addressof(buffer))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(kernel.PR_SET_SECCOMP, 2, ctypes.create_string_buffer(described))
    return len(REFUSED) + len(BY_ARGUMENT) + 1


def program(column: int) -> list[bytes]:
    """The instructions for one architecture."""
    refuse = _step(RETURN, REFUSE | errno.EPERM)
    lines = [
        _step(LOAD, ARCHITECTURE), _step(EQUAL, AUDIT_ARCHITECTURES[column], 1, 0), _step(RETURN, KILL),
        _step(LOAD, NUMBER), _step(AT_LEAST, X32, 0, 1), _step(RETURN, KILL),
        _step(EQUAL, CLONE3[column], 0, 1), _step(RETURN, REFUSE | errno.ENOSYS),
    ]  # fmt: skip
    for numbers in REFUSED.values():
        if numbers[column] >= 0:
            lines += [_step(EQUAL, numbers[column], 0, 1), refuse]
    lines += _by_argument("clone", column, [_step(ANY_BIT, NEW_NAMESPACES, 0, 1), refuse])
    shared = [_step(AND, SHARED_ANONYMOUS), _step(EQUAL, SHARED_ANONYMOUS, 0, 1), refuse]
    lines += _by_argument("mmap", column, shared)
    typing = [_step(EQUAL, TIOCSTI, 1, 0), _step(EQUAL, TIOCLINUX, 0, 1), refuse]
    lines += _by_argument("ioctl", column, typing)
    return [*lines, _step(RETURN, ALLOW)]


def _by_argument(call: str, column: int, judge: list[bytes]) -> list[bytes]:
    """Instructions that load the argument's lower half and judge it; other calls jump over them."""
    numbers, index = BY_ARGUMENT[call]
    body = [_step(LOAD, FIRST_ARGUMENT + 8 * index), *judge, _step(RETURN, ALLOW)]
    return [_step(EQUAL, numbers[column], 0, len(body)), *body]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
