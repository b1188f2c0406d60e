"""`lmbook sweep`: one notebook with every combination of parameters, side by side, into one table.

What the same notebook, code and parameters gave before is not run again, so a sweep that was killed at any moment goes
on from there and ends in the same table.
"""

import csv
import hashlib
import io
import itertools
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lmlib.course import batch, book, notebooks
from lmlib.course.batch import GOOD, Result, Settings, Task
from lmlib.course.errors import CourseError, InterruptedWorkError, WorkFailedError
from lmlib.course.parameters import parse_value
from lmlib.course.progress_display import Display

Combination = dict[str, Any]  # parameter → value
OF_THE_MACHINE = ("died", "start")  # failures that another try may mend; an exception of the notebook is none
OWN_COLUMNS = ("status", "metric", "value", "unit", "seconds")  # of the tables
LONGEST_NAME = 120  # bytes; file systems take 255, and endings are added


@dataclass(frozen=True)
class Run:
    """One run of the sweep: its parameters and what came of it."""

    combination: Combination
    result: Result


def parse_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """`width=32,64` → {"width": [32, 64]}. A value with a comma needs a file (see `read_grid`).

    Raises CourseError for a text without values, and for a parameter that is given twice.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        found = [parse_value(value) for value in values.split(",") if value.strip()]
        if not name or not found:
            raise CourseError(f"a grid takes NAME=VALUE,VALUE…, as in: width=32,64,128 (given: {text})")
        if name in grid:
            raise CourseError(f"the grid has {name} twice; put all its values in one list")
        grid[name] = found
    return grid


def read_grid(path: Path) -> dict[str, list[Any]]:
    """A YAML file of parameter: [values]. Raises CourseError for anything else."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CourseError(f"{path}: it cannot be read as YAML ({error})") from None
    if not isinstance(content, dict) or not all(isinstance(v, list) and v for v in content.values()):
        raise CourseError(f"{path}: expected parameter: [value, value, ...], one line a parameter")
    return {str(name): values for name, values in content.items()}


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[Combination]:
    """Every combination, the last parameter changing fastest. Raises CourseError when two are the same."""
    found = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    names = [name_of(one) for one in found]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise CourseError(f"the grid has the same combination twice: {'; '.join(doubled)}")
    return found


def name_of(combination: Combination) -> str:
    """A combination as one part of a path: width=32,seed=0; of a long one the beginning, and a hash of all."""
    name = ",".join(f"{key}={value}" for key, value in combination.items())
    clean = "".join(char if char.isalnum() or char in "=,.-_+" else "_" for char in name)
    if len(clean.encode()) <= LONGEST_NAME:
        return clean
    start = clean.encode()[:LONGEST_NAME].decode("utf-8", "ignore")
    return f"{start}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def sweep(notebook: Path, grid: Mapping[str, Sequence[Any]], settings: Settings, retries: int = 1) -> list[Run]:
    """Run every combination that has no result yet, and write OUT/results.csv and .parquet.

    Runs that failed for reasons of the machine are tried again `retries` times. Raises CourseError before anything
    runs when an argument is wrong, WorkFailedError at the end when runs failed, InterruptedWorkError on Ctrl-C.
    """
    base = book.root()
    if taken := [name for name in grid if name in OWN_COLUMNS]:
        raise CourseError(f"the tables have columns called {', '.join(taken)}; rename the parameter in the notebook")
    selected = book.select([notebook], base)
    if len(selected) > 1:
        raise CourseError(f"{notebook}: {len(selected)} notebooks are there; a sweep runs one")
    (path,) = selected
    stem, wanted = path.stem, combinations(grid)
    each = {f"{stem}/{name_of(one)}": replace(settings, given=settings.given | one) for one in wanted}
    batch.require_writable(settings.out)
    content = batch.content_of(path, base)
    keys = {name: batch.key_of(content, own) for name, own in each.items()}
    results = {} if settings.force else batch.unchanged(keys, settings.out)
    tasks = [batch.task_of(name, path, keys[name], own) for name, own in each.items() if name not in results]
    batch.require_runnable(tasks, settings)
    jobs, threads = batch.jobs_and_threads(tasks, settings)
    with Display(len(each)) as display:
        for result in results.values():
            display.ended(result.name, result.status, "")
        try:
            _execute(tasks, settings, jobs, threads, display, results, retries)
        except KeyboardInterrupt:
            raise InterruptedWorkError("interrupted; the same command goes on from here") from None
        finally:
            runs = [Run(one, results[name]) for one, name in zip(wanted, each, strict=True) if name in results]
            write_tables(runs, settings.out)
            display.note(f"Table: {book.shown(settings.out / 'results.csv')}, {len(runs)} of {len(each)} runs")
    _raise_for_failures(runs)
    return runs


def _execute(
    tasks: list[Task],
    settings: Settings,
    jobs: int,
    threads: int,
    display: Display,
    results: dict[str, Result],
    retries: int,
) -> None:
    for _ in range(1 + retries):
        batch.execute_all(tasks, settings, jobs, threads, display, results)
        tasks = [task for task in tasks if results[task.name].status in OF_THE_MACHINE]
        if not tasks:
            return
        display.expect(len(tasks))


def _raise_for_failures(runs: list[Run]) -> None:
    bad = [run for run in runs if run.result.status not in GOOD]
    if bad:
        first = bad[0].result
        raise WorkFailedError(
            f"{len(bad)} of {len(runs)} runs failed, the first {first.name}: {first.failure}; "
            "they are in the table, and run again with the next sweep"
        )


# The table ----------------------------------------------------------------------------------------------------


def rows_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Tidy: a row for each metric of each run; a run without metrics has one row, so that none is lost."""
    rows = []
    for run in runs:
        status = "passed" if run.result.status in GOOD else run.result.status
        head = {**run.combination, "status": status}
        metrics = run.result.metrics or [{"name": "", "value": None, "unit": ""}]
        rows += [head | {"metric": m["name"], "value": m["value"], "unit": m["unit"]} for m in metrics]
    return rows


def write_tables(runs: Sequence[Run], out: Path) -> None:
    """Write the rows as CSV and as Parquet, and the seconds of each run, which differ every time, beside them."""
    if not runs:
        return
    rows = rows_of(runs)
    notebooks.write_atomically(out / "results.csv", _as_csv(rows))
    seconds = [run.combination | {"seconds": round(run.result.seconds, 3)} for run in runs]
    notebooks.write_atomically(out / "seconds.csv", _as_csv(seconds))
    _write_parquet(rows, out / "results.parquet")


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write_parquet(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Columns of values of several kinds, as [1, "two"], become text: Parquet wants one type a column."""
    import pyarrow
    import pyarrow.parquet

    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        kinds = {float if type(value) is int else type(value) for value in values if value is not None}
        if len(kinds) > 1:
            columns[name] = [str(value) for value in values]
    own = f"{socket.gethostname()}.{os.getpid()}"  # another sweep may be writing here, on this machine or another
    temporary = path.with_name(f".{path.name}.{own}.part")
    pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    temporary.replace(path)


# The plot -----------------------------------------------------------------------------------------------------


def plot(out: Path, x: str, metric: str, by: str | None, to: Path) -> None:
    """Draw a metric against a parameter: the mean of the other parameters' runs, and a band from lowest to highest.

    A curve for each value of `by`. Raises CourseError when the table lacks what is asked for.
    """
    from lmlib import plots

    rows = [row for row in _read_table(out) if row["metric"] == metric]
    if not rows:
        known = sorted({row["metric"] for row in _read_table(out)} - {""})
        raise CourseError(f"no run recorded {metric!r}; there are: {', '.join(known) or 'none'}")
    for name in filter(None, (x, by)):
        if name not in rows[0]:
            raise CourseError(f"the sweep has no parameter {name!r}; it has: {', '.join(_parameters(rows[0]))}")
    curves: dict[str, dict[Any, list[float]]] = {}
    for row in rows:
        place = str(row[x]) if isinstance(row[x], list) else row[x]
        curves.setdefault(f"{by} = {row[by]}" if by else metric, {}).setdefault(place, []).append(row["value"])
    fig, (ax,) = plots.figure(f"{metric} against {x}", width=6.4)
    for number, (label, points) in enumerate(curves.items()):
        places = sorted(points)
        means = [sum(points[place]) / len(points[place]) for place in places]
        ax.plot(places, means, marker="o", label=label, color=f"C{number}")
        low, high = ([end(points[place]) for place in places] for end in (min, max))
        ax.fill_between(places, low, high, alpha=0.2, color=f"C{number}", linewidth=0)
    ax.set_xlabel(x)
    ax.set_ylabel(" ".join(filter(None, [metric, f"({rows[0]['unit']})" if rows[0]["unit"] else ""])))
    ax.legend()
    to.write_bytes(plots.as_png(fig))


def _read_table(out: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    path = out / "results.parquet"
    if not path.is_file():
        raise CourseError(f"{path}: no sweep has written a table there")
    return pyarrow.parquet.read_table(path).to_pylist()


def _parameters(row: Mapping[str, Any]) -> list[str]:
    return [name for name in row if name not in OWN_COLUMNS]
