"""Sweeps: every combination once, one tidy table, and a kill at any moment loses and repeats nothing."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pyarrow.parquet
import pytest

from lmlib import plots
from lmlib.course import batch, sweep
from lmlib.course.batch import Settings
from lmlib.course.errors import CourseError, WorkFailedError
from tests.course.dask_cluster import cluster, environment, kill

METRIC = "from lmlib.course import record\nrecord.metric('loss', 10 * width + seed, 'nats')"


def notebook(path, code=METRIC):
    """A notebook with the parameters width and seed, and one more cell."""
    cells = [("parameters", "width = 1\nseed = 0", ["parameters"]), ("work", code, [])]
    content = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [
            {"cell_type": "code", "id": name, "source": source, "outputs": [], "execution_count": None}
            | {"metadata": {"name": name, "tags": tags}}
            for name, source, tags in cells
        ],
    }
    path.write_text(json.dumps(content))
    return path


def table(out):
    with (out / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def count_runs(code, log):
    return f"open({str(log)!r}, 'a').write('.')\n{code}"


def test_a_grid_is_every_combination_in_order():
    grid = sweep.parse_grid(["width=32,64", "seed=0,1,2"])
    assert grid == {"width": [32, 64], "seed": [0, 1, 2]}
    found = sweep.combinations(grid)
    assert [sweep.name_of(one) for one in found][:4] == [
        "width=32,seed=0",
        "width=32,seed=1",
        "width=32,seed=2",
        "width=64,seed=0",
    ]
    assert len(found) == 6


def test_values_are_python_literals_or_texts(tmp_path):
    assert sweep.parse_grid(["a=1,2.5,true,adamw"]) == {"a": [1, 2.5, True, "adamw"]}
    (tmp_path / "g.yml").write_text("shape: [[1, 2], [3, 4]]\n")
    assert sweep.read_grid(tmp_path / "g.yml") == {"shape": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    ("texts", "message"),
    [(["width"], "NAME=VALUE"), (["width="], "NAME=VALUE"), (["a=1", "a=2"], "twice"), (["=1"], "NAME=VALUE")],
)
def test_a_grid_that_is_none_is_an_error(texts, message):
    with pytest.raises(CourseError, match=message):
        sweep.parse_grid(texts)


def test_the_same_combination_twice_is_an_error():
    with pytest.raises(CourseError, match="same combination twice: a=1"):
        sweep.combinations({"a": [1, 1]})
    with pytest.raises(CourseError, match="same combination twice: a=x_y"):
        sweep.combinations({"a": ["x/y", "x:y"]})  # they would share a file


@pytest.mark.parametrize("text", ["a: 1", "- 1", "a: []", "a: ["])
def test_a_file_that_is_no_grid_is_an_error(tmp_path, text):
    (tmp_path / "g.yml").write_text(text)
    with pytest.raises(CourseError, match=r"g\.yml"):
        sweep.read_grid(tmp_path / "g.yml")


def test_a_sweep_gives_one_table_and_a_second_one_runs_only_what_is_new(tmp_path):
    log = tmp_path / "log"
    path = notebook(tmp_path / "n.ipynb", count_runs(METRIC, log))
    settings = Settings(tmp_path / "out", jobs=2)
    sweep.sweep(path, {"width": [1, 2], "seed": [0]}, settings)
    assert [(row["width"], row["seed"], row["metric"], row["value"]) for row in table(settings.out)] == [
        ("1", "0", "loss", "10.0"),
        ("2", "0", "loss", "20.0"),
    ]
    sweep.sweep(path, {"width": [1, 2, 3], "seed": [0]}, settings)
    assert log.read_text() == "..."
    assert pyarrow.parquet.read_table(settings.out / "results.parquet").to_pylist()[2] == {
        "width": 3,
        "seed": 0,
        "status": "passed",
        "metric": "loss",
        "value": 30.0,
        "unit": "nats",
    }
    notebook(path, count_runs(METRIC + "  # changed", log))
    sweep.sweep(path, {"width": [3], "seed": [0]}, settings)
    assert log.read_text() == "...."


def test_a_run_that_fails_is_in_the_table_and_the_others_go_on(tmp_path):
    path = notebook(tmp_path / "n.ipynb", f"assert width != 2, 'too wide'\n{METRIC}")
    with pytest.raises(WorkFailedError, match=r"1 of 2 runs failed, the first n/width=2: .*too wide"):
        sweep.sweep(path, {"width": [2, 3]}, Settings(tmp_path / "out", jobs=2))
    assert [(row["width"], row["status"], row["value"]) for row in table(tmp_path / "out")] == [
        ("2", "failed", ""),
        ("3", "passed", "30.0"),
    ]


def test_only_what_the_machine_broke_is_tried_again(tmp_path):
    mark = repr(str(tmp_path / "mark"))
    dies_once = f"import os\nif not os.path.exists({mark}):\n    open({mark}, 'w')\n    os._exit(1)"
    path = notebook(tmp_path / "n.ipynb", f"{dies_once}\n{METRIC}")
    (run,) = sweep.sweep(path, {"width": [4]}, Settings(tmp_path / "out"), retries=1)
    assert run.result.status == "passed"
    log = tmp_path / "log"
    notebook(path, count_runs("1 / 0", log))
    with pytest.raises(WorkFailedError, match="ZeroDivisionError"):
        sweep.sweep(path, {"width": [4]}, Settings(tmp_path / "out"), retries=3)
    assert log.read_text() == "."


def test_an_unknown_parameter_is_refused_before_anything_runs(tmp_path):
    path = notebook(tmp_path / "n.ipynb")
    with pytest.raises(CourseError, match="no parameter 'depth'"):
        sweep.sweep(path, {"depth": [1]}, Settings(tmp_path / "out"))
    assert not (tmp_path / "out" / "results").exists()


def test_the_plot_has_a_curve_for_each_value_and_says_what_is_missing(tmp_path):

    def result(value):
        return batch.Result("n", "passed", metrics=[{"name": "loss", "value": value, "unit": "nats"}])

    runs = [sweep.Run({"width": w, "seed": s}, result(w / 7 + s)) for w in (8, 16, 32) for s in (0, 1)]
    sweep.write_tables(runs, tmp_path)
    sweep.plot(tmp_path, "width", "loss", "seed", tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(CourseError, match=r"'accuracy'; there are: loss"):
        sweep.plot(tmp_path, "width", "accuracy", None, tmp_path / "p.png")
    with pytest.raises(CourseError, match=r"no parameter 'depth'; it has: width, seed"):
        sweep.plot(tmp_path, "depth", "loss", None, tmp_path / "p.png")
    with pytest.raises(CourseError, match="no sweep has written"):
        sweep.plot(tmp_path / "none", "width", "loss", None, tmp_path / "p.png")


def number_of_results(out):
    return sum(len(files) for _, _, files in os.walk(os.path.join(out, "results")))


def killed_sweep(arguments, after):
    """Start the command and kill it, and all that it started, when so many results are there."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    out = arguments[arguments.index("--out") + 1]
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if number_of_results(out) >= after:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


GRID = ["--grid", "width=1,2,3,4,5,6,7,8,9,10,11,12", "--grid", "seed=0,1,2,3,4"]


def command(notebook, out, *more):
    return [sys.executable, "-m", "lmlib.course", "sweep", str(notebook), *GRID, "--out", str(out), *more]


def require_same_tables(first, second):
    """60 rows, and the same in both."""
    assert (first / "results.csv").read_text() == (second / "results.csv").read_text()
    tables = [pyarrow.parquet.read_table(out / "results.parquet") for out in (first, second)]
    assert tables[0].equals(tables[1])
    assert [row["value"] for row in table(first)] == [str(10.0 * w + s) for w in range(1, 13) for s in range(5)]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_sweep_of_60_runs_killed_five_times_gives_the_table_of_one_that_was_not(tmp_path):
    log, killed, whole = tmp_path / "log", tmp_path / "killed", tmp_path / "whole"
    path = notebook(tmp_path / "n.ipynb", count_runs(METRIC, log))
    here = ["--jobs", "2", "--engine", "warm"]
    for after in (3, 11, 24, 40, 55):
        killed_sweep(command(path, killed, *here), after)
    subprocess.run(command(path, killed, *here), check=True)
    assert 60 <= len(log.read_text()) <= 60 + 5 * 2  # what was running when it was killed ran again, nothing else
    subprocess.run(command(path, whole, *here), check=True)
    require_same_tables(killed, whole)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_same_sweep_on_dask_with_one_of_two_workers_killed_gives_the_same_table(tmp_path):
    path, far, here = notebook(tmp_path / "n.ipynb"), tmp_path / "far", tmp_path / "here"
    with cluster(2) as dask:
        process = subprocess.Popen(command(path, far, "--scheduler", dask.address), env=environment())
        while process.poll() is None and number_of_results(far) < 10:
            time.sleep(0.05)
        kill(dask.workers[0])
        assert process.wait() == 0
    subprocess.run(command(path, here, "--jobs", "2", "--engine", "warm"), check=True)
    require_same_tables(far, here)


@pytest.mark.long
def test_a_worker_that_does_not_have_the_notebook_as_it_is_here_is_refused(tmp_path, monkeypatch):
    path = notebook(tmp_path / "n.ipynb")
    monkeypatch.setattr(batch, "content_of", lambda path, base: "another state")
    with cluster(1) as dask, pytest.raises(CourseError, match=r"n\.ipynb is missing on .*, or it, its data, lmlib"):
        sweep.sweep(path, {"width": [1]}, Settings(tmp_path / "out", scheduler=dask.address))
    assert not (tmp_path / "out" / "results").exists()


def with_metric(value):
    """A result that recorded one loss."""
    return batch.Result("n", "passed", metrics=[{"name": "loss", "value": value, "unit": ""}])


@pytest.mark.parametrize("values", [[1, "two"], ["two", 1], [True, 1]])
def test_values_of_several_kinds_become_text_in_parquet(tmp_path, values):
    sweep.write_tables([sweep.Run({"a": value}, with_metric(1.0)) for value in values], tmp_path)
    rows = pyarrow.parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row["a"] for row in rows] == [str(value) for value in values]


@pytest.mark.parametrize("name", ["status", "metric", "value", "unit", "seconds"])
def test_a_parameter_named_as_a_column_of_the_tables_is_refused(tmp_path, name):
    with pytest.raises(CourseError, match=f"columns called {name}"):
        sweep.sweep(notebook(tmp_path / "n.ipynb"), {name: [1, 2]}, Settings(tmp_path / "out"))


def test_a_folder_is_no_notebook_to_sweep(tmp_path):
    for name in ("a", "b"):
        notebook(tmp_path / f"{name}.ipynb")
    with pytest.raises(CourseError, match="2 notebooks are there; a sweep runs one"):
        sweep.sweep(tmp_path, {"width": [1]}, Settings(tmp_path / "out"))


def test_a_curve_is_the_mean_also_along_a_parameter_of_lists(tmp_path, monkeypatch):
    grid = [([8, 8], 0, 1.0), ([8, 8], 1, 2.0), ([9, 9], 0, 4.0), ([9, 9], 1, 8.0)]
    sweep.write_tables([sweep.Run({"shape": s, "seed": n}, with_metric(v)) for s, n, v in grid], tmp_path)
    drawn = []
    monkeypatch.setattr(plots, "as_png", lambda fig: drawn.append(list(fig.axes[0].lines[0].get_ydata())) or b"")
    sweep.plot(tmp_path, "shape", "loss", None, tmp_path / "p.png")
    assert drawn == [[1.5, 6.0]]


def test_a_long_text_is_a_name_that_a_file_can_have_and_no_others():
    first, second = (sweep.name_of({"prompt": "写一首诗。" * 40 + end}) for end in ("甲", "乙"))
    assert max(len(first.encode()), len(second.encode())) < 150
    assert first != second
