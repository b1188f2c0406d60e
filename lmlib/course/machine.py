"""What this machine offers a batch: processor cores, memory, and the threads of each job."""

import os
from pathlib import Path

GIB = 2**30
JOB_MEMORY = 1.5 * GIB  # bytes; a kernel with torch, matplotlib and a small model takes 0.5 to 1 GiB


def cores() -> int:
    """Processor cores that this process may use: its affinity, and the quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    limit, _, period = quota.read_text().partition(" ") if quota.is_file() else ("max", "", "")
    return allowed if limit == "max" else max(1, min(allowed, int(limit) // int(period)))


def jobs_and_threads(notebooks: int, jobs: int | None) -> tuple[int, int]:
    """How many notebooks run at once, and the threads of each: together the cores.

    The default is a job a core, as far as memory goes; with OMP_NUM_THREADS set, cores divided by that.
    """
    import psutil

    threads = os.environ.get("OMP_NUM_THREADS", "")
    wanted = int(threads) if threads.isdecimal() and int(threads) > 0 else 1
    if jobs is None:
        by_memory = int(psutil.virtual_memory().available / JOB_MEMORY)
        jobs = max(1, min(notebooks, cores() // wanted, by_memory))
    return jobs, max(wanted, cores() // jobs) if not threads else wanted
