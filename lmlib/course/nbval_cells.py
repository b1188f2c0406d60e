"""nbval on one notebook, cell by cell: what each cell's run gave, and the points that it recorded.

Run as a program, so that nbval's pytest has a process of its own:
`python -m lmlib.course.nbval_cells NOTEBOOK TIMEOUT RESULT.json`.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmlib.course.record import RECORD_VARIABLE

GIVEN_TIMEOUT = 120.0  # seconds, for a cell that no student wrote


class CellWatcher:
    """A pytest plugin that writes down each cell: id, passed or not, the exception, and the rows that it recorded."""

    def __init__(self, record: Path, timeout: float) -> None:
        self.record, self.timeout = record, timeout
        self.read_lines = 0
        self.cells: list[dict[str, Any]] = []

    def pytest_runtest_setup(self, item: Any) -> None:
        """Called by pytest before each cell. A given cell, such as the imports, may take longer than an answer."""
        grader = item.cell.metadata.get("nbgrader", {})
        given = grader.get("locked") and not grader.get("grade")
        item.config.option.nbval_cell_timeout = max(self.timeout, GIVEN_TIMEOUT) if given else self.timeout

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Iterator[None]:
        """Called by pytest after each phase of a cell."""
        yield
        if call.when != "call":
            return
        error = next((out for out in item.test_outputs or [] if out.get("output_type") == "error"), None)
        self.cells.append(
            {
                "id": item.cell.get("id", ""),
                "passed": call.excinfo is None,
                "message": str(call.excinfo.value) if call.excinfo else "",
                "error": f"{error['ename']}: {error['evalue']}" if error else "",
                "line": _line(error) if error else None,
                "rows": self._new_rows(),
                "alive": item.parent.kernel.is_alive(),
            }
        )

    def _new_rows(self) -> list[dict[str, Any]]:
        """The rows recorded since the last cell."""
        lines = self.record.read_text("utf-8").split("\n")[:-1] if self.record.exists() else []
        new, self.read_lines = lines[self.read_lines :], len(lines)
        return [json.loads(line) for line in new]


def _line(error: dict[str, Any]) -> int | None:
    """The line of the cell in which an exception arose, from IPython's traceback."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))
    found = re.findall(r"^-+> (\d+)", plain, re.MULTILINE) or re.findall(r"^Cell In.*line (\d+)", plain, re.MULTILINE)
    return int(found[0]) if found else None


def main(notebook: str, timeout: str, result: str) -> None:
    """Run nbval on the notebook and write the list of its cells."""
    record = Path(result).with_suffix(".record")
    os.environ[RECORD_VARIABLE] = str(record)
    watcher = CellWatcher(record, float(timeout))
    options = ["--nbval-lax", "--nbval-current-env"]
    alone = ["-p", "nbval.plugin", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(Path(notebook).parent)]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # no other plugin is needed, and importing them takes seconds
    pytest.main([*options, *alone, notebook], plugins=[watcher])
    Path(result).write_text(json.dumps(watcher.cells), "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
