"""Threads and Dask workers take the same jobs; a worker that is killed loses nothing; what is missing is a sentence."""

import threading

import pytest

from lmlib.course import workers as module
from lmlib.course.errors import CourseError, WorkFailedError
from lmlib.course.workers import WorkersLostError, workers
from tests.course.dask_cluster import cluster, deadly, kill, refused, slow_square, until_stopped


def test_threads_hand_out_as_many_jobs_as_there_are_places_and_give_all_back():
    at_work, most, lock = set(), [], threading.Lock()

    def job(number):
        with lock:
            at_work.add(number)
            most.append(len(at_work))
        with lock:
            at_work.discard(number)
        return -number

    taken = []

    def numbers():
        for number in range(20):
            taken.append(number)
            yield number

    with workers(3) as own:
        ended = own.each(numbers(), lambda number: own.submit(job, number))
        first, future = next(ended)
        assert len(taken) == 3
        found = {first: own.result(future)} | {number: own.result(future) for number, future in ended}
    assert found == {number: -number for number in range(20)}
    assert max(most) <= 3


def test_closing_takes_back_what_has_not_begun():
    release, began = threading.Event(), []

    def job(number):
        began.append(number)
        release.wait(60)

    with workers(1) as own:
        own.places = lambda: 5
        ended = own.each(range(5), lambda number: own.submit(job, number))
        own.wait = lambda running: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            next(ended)
        release.set()
    assert len(began) <= 1


@pytest.fixture(scope="module")
def dask():
    with cluster(3) as found:
        yield found


def test_jobs_of_a_worker_that_is_killed_are_done_by_another(dask, tmp_path):
    log, found = tmp_path / "log", {}
    with workers(None, dask.address) as own:
        for number, future in own.each(range(10), lambda number: own.submit(slow_square, number, str(log))):
            found[number] = own.result(future)
            if len(found) == 2:
                kill(dask.workers[0])
    assert found == {number: number * number for number in range(10)}
    assert set(log.read_text().split()) == {str(number) for number in range(10)}


def test_an_error_comes_back_as_what_it_is_and_stop_is_heard(dask):
    with workers(None, dask.address) as own:
        with pytest.raises(CourseError, match=r"^put it right$"):
            own.result(own.submit(refused))
        waiting = own.submit(until_stopped, own.stop)
        own.stop.set()
        assert own.result(waiting) == "stopped"


@pytest.mark.long
def test_a_scheduler_that_dies_is_one_sentence_and_so_is_a_job_that_no_worker_survives():
    with cluster(5) as dask, workers(None, dask.address) as own:
        with pytest.raises(WorkFailedError, match="4 workers have died of this job"):
            own.result(own.submit(deadly))
        assert own.result(own.submit(pow, 2, 3)) == 8  # the last one is left
        waiting = own.submit(until_stopped, own.stop)
        kill(dask.scheduler)
        with pytest.raises(WorkersLostError, match="the scheduler has gone; what is finished is kept"):
            own.result(waiting)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("tcp://127.0.0.1:9", "no Dask scheduler answers there"),
        ("tcp://no-such-host.invalid:8786", "no Dask scheduler answers there"),
        ("tcp://127.0.0.1", "'tcp://127.0.0.1' is no address of a scheduler"),
        ("tcp://127.0.0.1:x", "is no address of a scheduler"),
        ("http://127.0.0.1:8786", "is no address of a scheduler"),
        ("", "'' is no address of a scheduler"),
    ],
)
def test_a_scheduler_that_is_not_there_is_wrong_use_and_one_sentence(address, sentence):
    with pytest.raises(CourseError, match=sentence) as error, workers(None, address):
        pass
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_a_scheduler_without_workers_is_one_sentence(monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 2)
    with (
        cluster(0) as dask,
        pytest.raises(CourseError, match=f"no worker; start some: `dask worker {dask.address}`"),
        workers(None, dask.address),
    ):
        pass


def test_jobs_are_for_this_machine():
    with pytest.raises(CourseError, match="--jobs is for this machine"), workers(2, "tcp://127.0.0.1:9"):
        pass


def test_without_dask_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with (
        pytest.raises(CourseError, match=r"pip install -c constraints\.txt -e \"\.\[dask\]\""),
        workers(None, "tcp://127.0.0.1:9"),
    ):
        pass
