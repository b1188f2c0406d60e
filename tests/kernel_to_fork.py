"""What the fork server of `tests.kernels` imports, and what a child of it does to become a kernel."""

import gc
import os
import signal
import sys

IMPORTED = ["ipykernel.kernelapp", "torch", "torch._dynamo", "matplotlib.pyplot", "lmlib.course.checks"]


def run(arguments: list[str], folder: str, environment: dict[str, str]) -> None:
    """Be a kernel with a session, folder and environment of its own, until it is shut down."""
    import matplotlib
    from ipykernel.kernelapp import launch_new_instance

    gc.freeze()  # what the server has imported stays
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ |= environment | {"JPY_PARENT_PID": str(os.getppid())}  # without it, a kernel ends
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 2):
        os.dup2(nothing, standard)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["ipykernel_launcher", *arguments]
    matplotlib.rcParams["backend"] = "module://matplotlib_inline.backend_inline"  # too late for MPLBACKEND
    launch_new_instance()
