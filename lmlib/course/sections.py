"""One row for each section of the book: what it covers, what it found out, what it asks, and the seconds it takes."""

from collections import Counter
from pathlib import Path
from typing import Any

from lmlib.course import assignment, ledger


def table(base: Path, seconds: dict[str, float]) -> list[dict[str, Any]]:
    """The rows in the order of the book. `seconds` by name: `chapters/02_core_concepts/02_attention`.

    Mistakes and other answers are counted as they stand in the assignment (None: it cannot be read): `lmbook release`
    refuses one with a mistake that is not named, or another right answer that is not accepted.
    """
    headings = Counter(heading.notebook for heading in ledger.load_outline(base) if heading.anchor)
    rows = ledger.load_ledger(base)
    verdicts = Counter((row.notebook, row.verdict) for row in rows if row.cell)
    asked = {
        path.relative_to(base / "solutions").with_suffix("").as_posix(): path
        for path in assignment.all_assignments(base)
    }
    return [
        {
            "section": section,
            "seconds": seconds.get(f"chapters/{section}"),
            "assignment_seconds": seconds.get(f"solutions/{section}"),
            "headings": headings[section],
            "ledger": {verdict: verdicts[section, verdict] for verdict in ledger.VERDICTS},
            **_questions(asked.get(section)),
        }
        for section in sorted(headings.keys() | asked.keys())
    ]


def _questions(path: Path | None) -> dict[str, int | None]:
    try:
        questions = list(assignment.read(path).questions.values()) if path else []
    except assignment.AssignmentError:
        return dict.fromkeys(("questions", "mistakes", "other_answers"))
    mistakes, others = (sum(len(one.variants[kind]) for one in questions) for kind in ("mistake", "other"))
    return {"questions": len(questions), "mistakes": mistakes, "other_answers": others}
