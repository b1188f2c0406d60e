"""A pytest plugin: kernels that nbval starts are forked from a process that has imported what notebooks import.

A kernel needs two seconds of a processor until it has imported torch; a forked one has it from the start. Apart from
that it is ipykernel as always: messages, interrupts and outputs go the usual way. Only Linux forks safely after these
imports; elsewhere nbval starts its kernels as it does by itself.
"""

import multiprocessing
import os
import sys
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

from tests import kernel_to_fork

NAME = "forked"


def pytest_configure(config: pytest.Config) -> None:
    """Let jupyter_client start the kernels of this process by `ForkedKernel`."""
    if sys.platform == "linux":
        factory = KernelProvisionerFactory.instance()
        factory.provisioners[NAME] = EntryPoint(NAME, f"{__name__}:ForkedKernel", "jupyter_client.kernel_provisioners")
        factory.default_provisioner_name = NAME


class ForkedKernel(LocalProvisioner):
    """A kernel in a child of multiprocessing's fork server, which starts with the first of them."""

    async def launch_kernel(self, cmd: list[str], *, cwd: str, env: dict[str, str], **_: Any) -> dict[str, Any]:
        """Fork; `cmd` ends with the arguments of `python -m ipykernel_launcher`."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(kernel_to_fork.IMPORTED)
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        process = context.Process(target=kernel_to_fork.run, args=(arguments, cwd, env))
        process.start()
        self.process, self.pid = Child(process), process.pid
        return self.connection_info


class Child:
    """A process of multiprocessing with the methods of subprocess.Popen that a provisioner calls."""

    stdin = stdout = stderr = None

    def __init__(self, process: Any) -> None:
        self._process = process

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        code: int | None = self._process.exitcode
        return code

    def wait(self) -> int | None:
        """The exit code, when it has ended."""
        self._process.join()
        return self.poll()

    def send_signal(self, number: int) -> None:
        """To the kernel alone; nothing when it has ended."""
        if self.poll() is None:
            os.kill(self._process.pid, number)
