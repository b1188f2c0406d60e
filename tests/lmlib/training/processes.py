"""Run a function in several processes that know each other, as torchrun would; one that hangs is a failure."""

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def run_in_processes(
    function: Callable[..., Any], n_processes: int, folder: Path, *args: Any, seconds: float = 120
) -> list[Any]:
    """What function(*args) returns in each of n processes, in the order of their ranks. Raises what one raises.

    The processes are forked from a server that has imported torch, so that each starts in a moment.
    """
    multiprocessing.set_forkserver_preload(["torch._dynamo", "lmlib.training.parallel", "lmlib.models.llama"])
    context = mp.start_processes(
        _child,
        (n_processes, str(folder), function, args),
        nprocs=n_processes,
        join=False,
        start_method="forkserver",
    )
    end = time.monotonic() + seconds
    try:
        while not context.join(timeout=1):
            if time.monotonic() > end:
                raise TimeoutError(f"{function.__name__} did not end in {seconds} s in {n_processes} processes")
    finally:
        for process in context.processes:
            process.kill()
    return [torch.load(folder / f"result{rank}", weights_only=False) for rank in range(n_processes)]


def _child(rank: int, n_processes: int, folder: str, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/store", n_processes)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=n_processes)
    torch.save(function(*args), f"{folder}/result{rank}")
    dist.destroy_process_group()
