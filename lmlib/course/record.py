"""What a notebook reports about itself: checks that can fail and metrics, for the report of a batch run.

A batch run names a file in LMBOOK_RECORD; each call adds a line of JSON to it. Elsewhere nothing is written.
"""

import json
import os

RECORD_VARIABLE = "LMBOOK_RECORD"


def check(claim: str, holds: bool) -> None:
    """Assert one claim of the notebook and print it. Raises AssertionError if it does not hold."""
    _append({"kind": "check", "name": claim, "passed": bool(holds)})
    if not holds:
        raise AssertionError(f"does not hold: {claim}")
    print(f"✓ {claim}")


def metric(name: str, value: float, unit: str = "") -> None:
    """Record one number that the notebook measured. It is shown in the report, not in the notebook."""
    _append({"kind": "metric", "name": name, "value": float(value), "unit": unit})


def points(question: str, score: float, maximum: float, mistakes: list[str], text: str) -> None:
    """Record the points of one question, the known mistakes by name, and what the student read."""
    row = {"kind": "points", "name": question, "score": score, "max": maximum}
    _append({**row, "mistakes": mistakes, "text": text})


def _append(row: dict) -> None:
    path = os.environ.get(RECORD_VARIABLE)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
