"""Who does the work: threads of this process, or the workers of a Dask scheduler. Both take jobs in the same way.

To a scheduler travel the names of functions, their arguments and their results, pickled; it holds those of a job until
the job has ended. Whoever reaches a scheduler can run programs on its workers, so it belongs into a network of your
own, or behind TLS (an address that begins with tls://, with the certificates that Dask is configured with).
"""

import logging
import socket
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from lmlib.course import machine
from lmlib.course.errors import CourseError, WorkFailedError

if TYPE_CHECKING:
    from distributed import Client

Job = TypeVar("Job")
Result = TypeVar("Result")
CONNECT_SECONDS = 10
LOOK_SECONDS = 10  # between two looks whether any worker is left
AHEAD = 2  # jobs for each thread of a worker: one runs, one waits beside it
STOP_SECONDS = 2.0  # between two questions of a worker whether it should stop


class WorkersLostError(WorkFailedError):
    """The scheduler has gone; what was finished before is kept."""


class Stop(Protocol):
    """Said once, heard by every job that was given it."""

    def set(self) -> None:
        """Say it."""

    def is_set(self) -> bool:
        """Whether it was said."""


class Workers:
    """Threads of this process, `jobs` of them."""

    def __init__(self, executor: Executor, jobs: int, stop: Stop) -> None:
        self._executor, self._jobs, self.stop = executor, jobs, stop

    def places(self) -> int:
        """How many jobs to hand out at a time."""
        return self._jobs

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Hand out one job."""
        return self._executor.submit(function, *arguments)

    def wait(self, running: Iterable[Future[Result]]) -> set[Future[Result]]:
        """The jobs that have ended, as soon as one has."""
        return wait(running, return_when=FIRST_COMPLETED).done

    def result(self, future: Future[Result]) -> Result:
        """What a job that has ended gave, or raised."""
        return future.result()

    def each(
        self, jobs: Iterable[Job], submit: Callable[[Job], Future[Result]]
    ) -> Generator[tuple[Job, Future[Result]], None, None]:
        """Hand out jobs, some at a time, and give each back as soon as it has ended.

        Closing this, as Ctrl-C does, hands out nothing more and takes back what has not begun.
        """
        running: dict[Future[Result], Job] = {}
        waiting = iter(jobs)
        try:
            while True:
                while len(running) < self.places():
                    try:
                        job = next(waiting)
                    except StopIteration:
                        break
                    running[submit(job)] = job
                if not running:
                    return
                for future in self.wait(running):
                    yield running.pop(future), future
        finally:
            for future in running:
                future.cancel()


class DaskWorkers(Workers):
    """The workers of a scheduler. A job whose worker dies goes to another one, up to Dask's `allowed-failures`."""

    def __init__(self, client: "Client") -> None:
        super().__init__(client.get_executor(pure=False), 0, FarStop(client))
        self._client = client

    def places(self) -> int:
        """Two for each thread of the workers that are there now; one when none is left."""
        return max(1, AHEAD * self._threads())

    def _threads(self) -> int:
        try:
            return sum(self._client.nthreads().values())
        except (OSError, RuntimeError):  # the connection is lost: the jobs that wait are cancelled, and result says so
            return 0

    def wait(self, running: Iterable[Future[Result]]) -> set[Future[Result]]:
        """As of threads; says when no worker is left."""
        futures, said = list(running), False
        while True:
            done = wait(futures, LOOK_SECONDS, FIRST_COMPLETED).done
            if done:
                return done
            if not said and self._client.status == "running" and not self._threads():
                said = True
                print("no worker is left; the jobs wait for one to come (Ctrl-C stops)", file=sys.stderr, flush=True)

    def result(self, future: Future[Result]) -> Result:
        """As of threads. Raises WorkersLostError, and WorkFailedError for what is wrong with a worker."""
        from distributed import KilledWorker

        try:
            return future.result()
        except CancelledError:
            raise WorkersLostError("the scheduler has gone; what is finished is kept: run the command again") from None
        except KilledWorker as error:
            raise WorkFailedError(
                f"{error.allowed_failures + 1} workers have died of this job, one after another"
            ) from None
        except ModuleNotFoundError as error:
            raise CourseError(f"a worker has no module {error.name}: start workers with the Python of lmbook") from None


class FarStop:
    """A `Stop` that workers on other machines hear; each asks the scheduler every two seconds at most."""

    def __init__(self, client: "Client") -> None:
        from distributed import Event as FarEvent

        self._event = FarEvent(client=client)
        self._asked = -STOP_SECONDS

    def set(self) -> None:
        """Say it. When the scheduler has gone, its workers stop by themselves."""
        with suppress(OSError, RuntimeError):
            self._event.set()

    def is_set(self) -> bool:
        """Whether it was said; also when the scheduler cannot be asked any more."""
        if monotonic() - self._asked < STOP_SECONDS:
            return False
        self._asked = monotonic()
        try:
            return bool(self._event.is_set())
        except (OSError, RuntimeError):
            return True

    def __getstate__(self) -> dict[str, Any]:
        return {"_event": self._event, "_asked": -STOP_SECONDS}


@contextmanager
def workers(jobs: int | None, scheduler: str | None = None) -> Iterator[Workers]:
    """So many threads of this process (one a core), or the workers of the scheduler at an address (tcp://host:8786).

    Raises CourseError when both are given, when no scheduler answers there or no worker comes to it, and without
    `distributed`.
    """
    if scheduler is None:
        jobs = jobs or machine.cores()
        with ThreadPoolExecutor(max_workers=jobs) as threads:
            yield Workers(threads, jobs, Event())
        return
    if jobs:
        raise CourseError("--jobs is for this machine; with --scheduler the threads of the workers say how many")
    client = _connected(scheduler)
    try:
        yield DaskWorkers(client)
    finally:
        client.close(timeout=CONNECT_SECONDS)


def _connected(address: str) -> "Client":
    try:
        from distributed import Client
    except ImportError:
        raise CourseError(
            '--scheduler needs Dask; in the book: python -m pip install -c constraints.txt -e ".[dask]"'
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is said in our words
    _require_listener(address)
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="lmbook")
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(f"{address}: what answers there is no Dask scheduler ({error})") from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        raise CourseError(f"{address}: the scheduler has no worker; start some: `dask worker {address}`") from None
    return client


def _require_listener(address: str) -> None:
    """Raise CourseError unless something answers at an address. A Client that cannot connect leaves threads behind."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is no number
        host = port = None
    if host is None or port is None or parts.scheme not in ("tcp", "tls"):
        raise CourseError(f"{address!r} is no address of a scheduler; give one such as tcp://host:8786")
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        why = error.strerror or error
        raise CourseError(f"{address}: no Dask scheduler answers there ({why}); `dask scheduler` starts one") from None
