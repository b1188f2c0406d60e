"""An HTML page for each student: points, what the checks said, comments, and the notebook as it ran.

Whatever a student wrote is text: nothing of it is HTML here, and no script runs on the page.
"""

import base64
import binascii
from typing import Any

from lmlib.course import pages
from lmlib.course.gradebook.store import Gradebook, Row

LONGEST = 20_000  # characters of one output that are shown
PICTURE = "image/png"


def page(book: Gradebook, row: Row) -> str:
    """The page of one student's work on one assignment."""
    cells = [_cell(cell) for cell in book.executed(row.student.id, row.assignment).get("cells", [])]
    return pages.render("feedback.html", row=row, cells=cells)


def _cell(cell: dict[str, Any]) -> dict[str, Any]:
    outputs = [_output(output) for output in cell.get("outputs", [])]
    return {"kind": cell.get("cell_type", ""), "source": text_of(cell.get("source", "")), "outputs": outputs}


def _output(output: dict[str, Any]) -> dict[str, str]:
    """An output as text, or as a picture that is one."""
    data = output.get("data", {})
    if isinstance(data, dict) and _is_png(data.get(PICTURE)):
        return {"picture": "".join(text_of(data[PICTURE]).split())}
    kind = output.get("output_type")
    if kind == "stream":
        text = text_of(output.get("text", ""))
    elif kind == "error":
        text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
    else:
        text = text_of(data.get("text/plain", "")) if isinstance(data, dict) else ""
    return {"text": text if len(text) <= LONGEST else text[:LONGEST] + "\n… (cut here)"}


def text_of(value: Any) -> str:
    """A source or an output as one text: notebooks keep it as a text or as a list of lines; anything else is empty."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


def _is_png(data: Any) -> bool:
    try:
        return base64.b64decode("".join(text_of(data).split()), validate=True).startswith(b"\x89PNG\r\n")
    except binascii.Error:
        return False
