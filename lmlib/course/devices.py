"""GPUs handed out to notebooks, one each: a notebook sees its own through CUDA_VISIBLE_DEVICES, as device 0."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from lmlib.course.errors import CourseError

VARIABLE = "CUDA_VISIBLE_DEVICES"
NAMED = re.compile(r"(GPU|MIG)-\S+")  # as `nvidia-smi -L` lists them


def parse_devices(text: str) -> tuple[str, ...]:
    """`0,1` → ("0", "1"): numbers as torch counts GPUs here, or names with GPU- or MIG- before. Raises CourseError."""
    devices = tuple(part.strip() for part in text.split(","))
    for device in devices:
        if not device.isdecimal() and not NAMED.fullmatch(device):
            raise CourseError(f"--devices takes numbers or names of GPUs, as in: --devices 0,1 (given: {text})")
    if len(set(devices)) < len(devices):
        raise CourseError(f"--devices {text}: a GPU is given to one notebook at a time; name each once")
    return devices


def require_devices(devices: tuple[str, ...]) -> None:
    """Raise CourseError unless torch sees these GPUs."""
    if not devices:
        return
    import torch

    n = torch.cuda.device_count()
    absent = [device for device in devices if device.isdecimal() and int(device) >= n]
    if n == 0 or absent:
        raise CourseError(
            f"--devices {','.join(devices)}: torch {torch.__version__} sees {n} CUDA devices here"
            f"{f', 0 to {n - 1}' if n else ''} (`lmbook doctor` says what torch can use)"
        )


class Devices:
    """The GPUs of a run. Without any, a notebook sees what this process does."""

    def __init__(self, devices: tuple[str, ...]) -> None:
        self._free: SimpleQueue[str] | None = SimpleQueue() if devices else None
        for device in devices:
            assert self._free is not None
            self._free.put(_in_environment(device))

    @contextmanager
    def one(self) -> Iterator[dict[str, str]]:
        """The environment of a notebook that has a GPU for itself until the end of the `with`; waits for a free one."""
        if self._free is None:
            yield {}
            return
        device = self._free.get()
        try:
            yield {VARIABLE: device}
        finally:
            self._free.put(device)


def _in_environment(device: str) -> str:
    """What names the device to a child: of the GPUs that a scheduler left visible here, the one with this number."""
    left = [part.strip() for part in os.environ.get(VARIABLE, "").split(",") if part.strip()]
    return left[int(device)] if left and device.isdecimal() else device
