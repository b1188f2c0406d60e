"""What `lmbook doctor` finds, and that it says what to do."""

import json
import sys

import pytest

from lmlib.course import doctor, isolation, machine


def test_every_finding_that_is_not_good_says_what_to_do(lmbook, tmp_path):
    result = lmbook("doctor", "--json")
    findings = json.loads(result.stdout)
    subjects = {finding["subject"] for finding in findings}
    assert {"Python", "torch", "device", "processor cores", "Jupyter kernel", "sandbox: Landlock"} <= subjects
    assert {"git", "Chromium", "C++ compiler"} <= subjects
    assert all(finding["advice"] for finding in findings if finding["status"] != "ok")
    missing = [finding for finding in findings if finding["status"] == "missing"]
    assert result.returncode == (1 if missing else 0)


def test_a_needed_thing_that_is_missing_makes_the_command_fail(monkeypatch, capsys):
    absent = doctor.Finding("torch", doctor.MISSING, "cannot be imported", "pip install torch")
    monkeypatch.setattr(doctor, "examine", lambda: iter([absent]))
    with pytest.raises(doctor.WorkFailedError, match="needed and not there: torch"):
        doctor.doctor(as_json=False)
    assert "pip install torch" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_means_of_isolation_are_tried_not_guessed(monkeypatch):
    monkeypatch.setattr(isolation, "_unshare", lambda: False)
    assert isolation.probe()["user namespaces"] is None
    assert isolation._in_child(lambda: True)
    assert not isolation._in_child(lambda: 1 / 0)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_probe_leaves_this_process_as_it_was():
    import os
    import resource

    before = resource.getrlimit(resource.RLIMIT_DATA), os.readlink("/proc/self/ns/user")
    isolation.probe()
    assert (resource.getrlimit(resource.RLIMIT_DATA), os.readlink("/proc/self/ns/user")) == before


@pytest.mark.parametrize(
    ("cores", "variable", "jobs", "notebooks", "expected"),
    [
        (8, None, None, 20, (8, 1)),
        (8, None, None, 2, (2, 4)),
        (8, None, 3, 20, (3, 2)),
        (8, "4", None, 20, (2, 4)),
        (2, None, 4, 20, (4, 1)),
        (2, None, None, 0, (1, 2)),
    ],
)
def test_threads_times_jobs_are_the_cores(monkeypatch, cores, variable, jobs, notebooks, expected):
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(machine, "JOB_MEMORY", 1)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert machine.jobs_and_threads(notebooks, jobs) == expected


def test_little_memory_means_fewer_jobs(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 8)
    monkeypatch.setattr(machine, "JOB_MEMORY", 1e15)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.jobs_and_threads(8, None) == (1, 8)
