"""The report: complete, escaped, one file."""

import json
import re
import shutil
from collections import Counter

import pytest

from lmlib.course import report
from lmlib.course.batch import Result, Settings
from lmlib.course.execution import Failure
from lmlib.course.ledger import load_ledger, load_outline
from tests.course.conftest import ROOT


@pytest.fixture
def page(book):
    evil = "<script>alert(1)</script>"
    rows = [
        Result(
            "good",
            "passed",
            2.0,
            [{"name": evil, "passed": True}],
            [{"name": "loss", "value": 1.23456, "unit": "nats"}],
        ),
        Result("kept", "unchanged", 3.0, points=[{"name": "q1", "score": 1.5, "max": 2.0, "text": ""}]),
        Result("bad", "failed", 1.0, failure=Failure("error", evil, "cell-name", f"Traceback {evil}")),
    ]
    path = report.write(rows, Settings(book / "out", given={"seed": 3}), 2, 1, book)
    return path.read_text("utf-8")


def test_texts_from_notebooks_are_escaped(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3


def test_the_page_needs_nothing_from_elsewhere(page):
    assert not re.search(r"(src|href)=\"(https?:)?//|@import|url\(", page)


def test_the_page_shows_failure_checks_numbers_and_points(page):
    for text in ("1 of 3 notebooks failed", "cell-name", "1.235 nats", "1.5 / 2", "1 / 1", "seed = 3"):
        assert text in page


def test_the_json_has_the_same_in_full(book, page):
    content = json.loads((book / "out" / "report.json").read_text("utf-8"))
    assert content["totals"]["status"] == {"passed": 1, "unchanged": 1, "failed": 1}
    assert content["totals"]["seconds"] == 6.0
    assert content["notebooks"][0]["metrics"][0]["value"] == 1.23456
    assert content["notebooks"][2]["failure"]["cell"] == "cell-name"
    assert content["coverage"] is None


def test_headings_and_verdicts_are_counted_when_the_book_has_its_lists(book, monkeypatch):
    for name in ("outline.yml", "ledger.yml"):
        (book / "chapters" / name).write_text("")
    counts = {
        "headings": {"000": {"covered": 1, "total": 4}, "001": {"covered": 2, "total": 6}},
        "ledger": {"wrong": {"shown": 5, "not yet": 7}},
    }
    monkeypatch.setattr(report.ledger, "coverage", lambda base: counts)
    monkeypatch.setattr(report.sections, "table", lambda base, seconds: [])
    page = report.write([Result("good", "passed")], Settings(book / "out"), 1, 1, book).read_text("utf-8")
    assert "3 of 10 headings are covered so far" in page
    assert "width: 25.0%" in page
    assert re.search(r"wrong</td><td class=\"n\">5</td><td class=\"n\">7", page)


def test_each_section_has_a_row_with_what_it_covers_and_asks(book):
    for name in ("outline.yml", "ledger.yml"):
        shutil.copy(ROOT / "chapters" / name, book / "chapters")
    for name in ("02_attention", "03_transformer"):
        source = (ROOT / "solutions/02_core_concepts" / f"{name}.py").read_text("utf-8")
        path = book / "solutions/02_core_concepts" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source if name == "02_attention" else source.replace('"points"', '"pints"', 1), "utf-8")
    rows = [Result("chapters/02_core_concepts/02_attention", "passed", 21.4)]
    page = report.write(rows, Settings(book / "out"), 1, 1, book).read_text("utf-8")
    content = json.loads((book / "out" / "report.json").read_text("utf-8"))
    found = {row["section"]: row for row in content["sections"]}
    attention = found["02_core_concepts/02_attention"]
    assert (attention["seconds"], attention["assignment_seconds"], attention["questions"]) == (21.4, None, 5)
    assert attention["mistakes"] >= 15
    rows_of_it = [row for row in load_ledger() if row.notebook == attention["section"] and row.cell]
    assert attention["ledger"] == Counter(row.verdict for row in rows_of_it)
    assert sum(row["headings"] for row in found.values()) == sum(1 for heading in load_outline() if heading.anchor)
    assert found["02_core_concepts/03_transformer"]["questions"] is None
    assert page.count("the assignment cannot be read") == 1
