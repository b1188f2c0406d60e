"""All that a gradebook holds, sorted, without its moments and durations: equal when two gradebooks say the same."""

import json
import sqlite3
import zlib
from pathlib import Path
from typing import Any

PLAIN = ("students", "assignments", "questions", "extensions", "manual")


def dump(path: Path) -> dict[str, list[Any]]:
    """The rows of every table. Attempts are known by student and file instead of by number."""
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.row_factory = sqlite3.Row
        found = {table: [dict(row) for row in database.execute(f"SELECT * FROM {table}")] for table in PLAIN}
        attempts = {row["id"]: dict(row) for row in database.execute("SELECT * FROM attempts")}
        names = {number: (row["student"], row["digest"]) for number, row in attempts.items()}
        for row in attempts.values():
            del row["id"], row["seconds"]
            row["file"], row["executed"] = zlib.decompress(row["file"]), json.loads(zlib.decompress(row["executed"]))
        found["attempts"] = list(attempts.values())
        scores = [dict(row) for row in database.execute("SELECT * FROM scores")]
        found["scores"] = [row | {"attempt": names[row["attempt"]]} for row in scores]
        found["changes"] = [tuple(row) for row in database.execute("SELECT who, what FROM changes")]
    return {table: sorted(rows, key=repr) for table, rows in found.items()}
