"""The report of a batch: report.json for machines, report.html for people (one file, no scripts)."""

import json
import platform
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlib.course import ledger, machine, notebooks, pages, sections

if TYPE_CHECKING:
    from lmlib.course.batch import Result, Settings

WORDS = {
    "passed": ("✓", "passed"),
    "unchanged": ("=", "unchanged: passed in an earlier run"),
    "failed": ("✗", "failed"),
    "short": ("✗", "points are short"),
    "timeout": ("✗", "timed out"),
    "died": ("✗", "kernel died"),
    "start": ("✗", "kernel did not start"),
    "stopped": ("–", "not finished: the run was interrupted"),
}


def write(rows: "list[Result]", settings: "Settings", jobs: int, threads: int, base: Path) -> Path:
    """Write report.json and report.html into the output folder; returns the path of the latter."""
    content = {
        "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        "profile": settings.profile,
        "device": settings.device,
        "parameters": settings.given,
        "jobs": jobs,
        "threads": threads,
        "machine": _machine(),
        "notebooks": [
            asdict(row) | {"checks_passed": _held(row), "executed": _executed(row, settings)} for row in rows
        ],
        "totals": _totals(rows),
        "coverage": _coverage(base),
        "sections": _sections(rows, base),
    }
    notebooks.write_atomically(settings.out / "report.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    path = settings.out / "report.html"
    notebooks.write_atomically(path, _html(content))
    return path


def _html(content: dict[str, Any]) -> str:
    return pages.render("report.html", **content, words=WORDS, good=("passed", "unchanged"))


def _held(row: "Result") -> int:
    return sum(1 for check in row.checks if check["passed"])


def _executed(row: "Result", settings: "Settings") -> str | None:
    """The executed notebook, as a path relative to the report; none when this run did not get to its end."""
    if row.status in ("timeout", "died", "start", "stopped"):
        return None  # what lies there came from an earlier run
    path = Path("notebooks") / f"{row.name}.ipynb"
    return path.as_posix() if (settings.out / path).is_file() else None


def _totals(rows: "list[Result]") -> dict[str, Any]:
    points = [point for row in rows for point in row.points]
    return {
        "status": dict(Counter(row.status for row in rows)),
        "seconds": sum(row.seconds for row in rows),
        "checks": sum(len(row.checks) for row in rows),
        "checks_passed": sum(_held(row) for row in rows),
        "score": sum(point["score"] for point in points),
        "max": sum(point["max"] for point in points),
    }


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": machine.cores(),
    }


def _coverage(base: Path) -> dict[str, Any] | None:
    """Headings of the documents that the book covers, and ledger rows by verdict; None where those lists are not."""
    return ledger.coverage(base) if _has_lists(base) else None


def _sections(rows: "list[Result]", base: Path) -> list[dict[str, Any]]:
    """What each section covers and asks; empty where the book's lists are not."""
    return sections.table(base, {row.name: row.seconds for row in rows}) if _has_lists(base) else []


def _has_lists(base: Path) -> bool:
    return all((base / "chapters" / name).is_file() for name in ("outline.yml", "ledger.yml"))
