"""The outline and the ledger: which headings of the documents the book covers, and what it found out about them.

`chapters/outline.yml` lists every heading of every document, `chapters/ledger.yml` every statement that was put to a
test. Both are kept honest by tests; the report counts them, and each section shows its own rows.
"""

import html
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmlib.course.errors import CourseError

ROOT = Path(__file__).resolve().parents[2]
VERDICTS = {"holds": "✓\xa0holds", "refined": "≈\xa0refined", "wrong": "✗\xa0wrong"}  # not to be broken
COLUMNS = ("Where", "The document says", "What running it shows", "Verdict", "Cell")


class LedgerError(CourseError):
    """An outline or a ledger that cannot be used: the file, the entry, and what is wrong with it."""


@dataclass(frozen=True)
class Heading:
    """A heading of a document, and the cell of the notebook that begins the section about it (None: not covered)."""

    document: str
    number: str | None
    title: str
    notebook: str
    anchor: str | None


@dataclass(frozen=True)
class Row:
    """A statement of the documents, a verdict, and the cell that shows it (None: not shown yet)."""

    id: str
    places: tuple[str, ...]
    says: str
    shows: str
    verdict: str
    notebook: str
    cell: str | None


def load_outline(root: Path = ROOT) -> list[Heading]:
    """The headings in the order of the documents. Raises LedgerError when the file is not as it should be."""
    path = root / "chapters" / "outline.yml"
    headings = []
    for document, entries in _read(path, dict).items():
        for entry in entries:
            if ("anchor" in entry) == ("covered" in entry) or entry.get("covered", False):
                raise LedgerError(f'{path}: {document} "{entry["title"]}" needs an anchor, or else `covered: no`')
            rest = (entry["number"], entry["title"], entry["notebook"], entry.get("anchor"))
            headings.append(Heading(document, *rest))
    return headings


def load_ledger(root: Path = ROOT) -> list[Row]:
    """The rows of the ledger. Raises LedgerError for a repeated id, a missing field or an unknown verdict."""
    path = root / "chapters" / "ledger.yml"
    fields = set(Row.__dataclass_fields__)
    rows = []
    for entry in _read(path, list):
        if set(entry) != fields:
            wrong = ", ".join(sorted(set(entry) ^ fields))
            raise LedgerError(f'{path}: the row "{entry.get("id")}" lacks, or should not have: {wrong}')
        if entry["verdict"] not in VERDICTS:
            raise LedgerError(
                f'{path}: the row "{entry["id"]}" has the verdict "{entry["verdict"]}"; use {", ".join(VERDICTS)}'
            )
        rows.append(Row(**{**entry, "places": tuple(entry["places"])}))
    repeated = [name for name, count in Counter(row.id for row in rows).items() if count > 1]
    if repeated:
        raise LedgerError(f"{path}: rows with the same id: {', '.join(repeated)}")
    return rows


def coverage(root: Path = ROOT) -> dict[str, Any]:
    """Counts for the report: headings covered of all, per document; ledger rows shown and not yet, per verdict."""
    headings, rows = load_outline(root), load_ledger(root)
    total = Counter(heading.document for heading in headings)
    covered = Counter(heading.document for heading in headings if heading.anchor)
    shown = Counter(row.verdict for row in rows if row.cell)
    not_yet = Counter(row.verdict for row in rows if not row.cell)
    return {
        "headings": {document: {"covered": covered[document], "total": total[document]} for document in total},
        "ledger": {verdict: {"shown": shown[verdict], "not yet": not_yet[verdict]} for verdict in VERDICTS},
    }


def parse_headings(markdown: str) -> list[tuple[str | None, str]]:
    """(number, title) of each heading of a document; lines that begin with # inside code blocks are no headings."""
    headings: list[tuple[str | None, str]] = []
    in_code = False
    for line in markdown.splitlines():
        if line.startswith("```"):
            in_code = not in_code
        match = re.match(r"#{1,6}\s+(?:(\d+(?:\.\d+)*)\.?\s+)?(.*?)\s*$", line)
        if match and not in_code:
            headings.append((match[1], match[2]))
    return headings


def outcome(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a call gives: its result, or the name of the exception that it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        return type(error).__name__


def show(notebook: str, root: Path = ROOT) -> None:
    """Display the ledger rows of one notebook, such as "02_core_concepts/02_attention", as a table.

    Raises LedgerError when the ledger has no row that this notebook shows.
    """
    from IPython.display import display

    rows = [row for row in load_ledger(root) if row.notebook == notebook and row.cell]
    if not rows:
        raise LedgerError(f'the ledger has no row that the notebook "{notebook}" shows')
    table = [
        (", ".join(r.places).replace(" §", "\xa0§"), r.says, r.shows, VERDICTS[r.verdict], r.cell or "") for r in rows
    ]
    display({"text/html": _as_html(table), "text/plain": _as_text(table)}, raw=True)


def _as_html(table: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in COLUMNS)
    body = ""
    for row in table:
        cells = "".join(f'<td style="text-align:left;vertical-align:top">{html.escape(text)}</td>' for text in row)
        body += f"<tr>{cells}</tr>\n"
    caption = "<caption>文档怎么说 · What the document says</caption>"
    return f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"


def _as_text(table: Sequence[tuple[str, ...]]) -> str:
    return "\n".join(f"{where}: {says} — {verdict}: {shows} [{cell}]" for where, says, shows, verdict, cell in table)


def _read(path: Path, kind: type) -> Any:
    import yaml

    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise LedgerError(f"{path}: there is no such file; the ledger is part of the repository") from None
    except yaml.YAMLError as error:
        raise LedgerError(f"{path}: this is not YAML: {error}") from None
    if not isinstance(content, kind):
        raise LedgerError(f"{path}: expected a {kind.__name__} at the top, got {type(content).__name__}")
    return content
