"""The outline, the ledger and the chapters hold each other: nothing claimed that no cell shows, and no cell in vain."""

import ast
import base64
import contextlib
import functools
import io
import os
import re
from collections import Counter
from typing import Any

import pytest
import torch

from lmlib.course import batch, ledger, machine, notebooks
from lmlib.course.batch import Settings

ROOT = ledger.ROOT
CHAPTERS = ROOT / "chapters"
DOCUMENTS = ROOT.parent / "shared" / "documents"
OUTLINE, ROWS = ledger.load_outline(), ledger.load_ledger()
SHOWN = [row for row in ROWS if row.cell]
BOOK = sorted(str(path.relative_to(CHAPTERS).with_suffix("")) for path in CHAPTERS.glob("*/*.py"))
SETUP = ("parameters", "imports", "ledger-data")  # all that a ledger cell needs
MAX_LINES = 25

needs_documents = pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="needs ../shared")


@functools.cache
def cells_of(notebook: str, suffix: str = ".py") -> dict[str, Any]:
    """The cells by name, in their order: of the text (.py), or executed (.ipynb)."""
    return {cell["id"]: cell for cell in notebooks.read(CHAPTERS / f"{notebook}{suffix}")["cells"]}


def has_tag(cell: dict[str, Any], tag: str) -> bool:
    return tag in cell["metadata"].get("tags", [])


def heading_level(cell: dict[str, Any]) -> int:
    """1 for "# ...", 2 for "## ..."; 0 for a cell that does not begin with a heading."""
    match = re.match(r"(#+) ", cell["source"]) if cell["cell_type"] == "markdown" else None
    return len(match[1]) if match else 0


def section(cells: dict[str, Any], anchor: str) -> list[dict[str, Any]]:
    """The cells from the anchor to the next heading of the same or a higher level."""
    names = list(cells)
    start = end = names.index(anchor)
    while end + 1 < len(names) and not 0 < heading_level(cells[names[end + 1]]) <= heading_level(cells[anchor]):
        end += 1
    return [cells[name] for name in names[start : end + 1]]


# --- the outline


@needs_documents
@pytest.mark.parametrize("number", ["000", "001", "002", "003", "004"])
def test_the_outline_has_every_heading_of_the_document_in_its_order(number):
    text = next(DOCUMENTS.glob(f"{number}_*.txt")).read_text("utf-8")
    assert [(h.number, h.title) for h in OUTLINE if h.document == number] == ledger.parse_headings(text)


def test_a_line_that_begins_with_a_hash_in_a_code_block_is_no_heading():
    text = "# Title\n\n## 4. Part\n```python\n# a comment\n```\n### 4.1 Sub \n#hashtag\n"
    assert ledger.parse_headings(text) == [(None, "Title"), ("4", "Part"), ("4.1", "Sub")]


@pytest.mark.parametrize("heading", [h for h in OUTLINE if h.anchor], ids=lambda h: f"{h.document}-{h.number}")
def test_a_covered_heading_points_at_a_heading_cell_with_executed_code_under_it(heading):
    cells = cells_of(heading.notebook, ".ipynb")
    assert heading_level(cells[heading.anchor]) > 0
    code = [cell for cell in section(cells, heading.anchor) if cell["cell_type"] == "code"]
    assert any(cell["execution_count"] and cell["outputs"] for cell in code)


def test_an_anchor_serves_at_most_three_headings_of_a_document():
    served = Counter((h.document, h.notebook, h.anchor) for h in OUTLINE if h.anchor)
    assert max(served.values()) <= 3


def test_a_heading_marked_as_not_covered_has_no_notebook_yet_or_one_that_covers_others():
    covering = {h.notebook for h in OUTLINE if h.anchor}
    assert {h.notebook for h in OUTLINE if not h.anchor} & set(BOOK) <= covering
    assert covering <= set(BOOK)


# --- the ledger


def test_every_row_stands_at_a_heading_of_the_outline():
    headings = {f"{h.document} §{h.number}" for h in OUTLINE if h.number}
    assert {place for row in ROWS for place in row.places} <= headings


def test_every_row_that_is_shown_has_its_own_cell_and_every_ledger_cell_a_row():
    claimed = sorted((row.notebook, row.cell) for row in SHOWN)
    tagged = sorted((book, name) for book in BOOK for name, cell in cells_of(book).items() if has_tag(cell, "ledger"))
    assert claimed == tagged


def setup_of(notebook: str) -> dict[str, Any]:
    """A namespace in which the cells that every ledger cell needs have run."""
    cells, namespace = cells_of(notebook), {}
    for name in SETUP:
        run(cells[name]["source"], namespace)
    return namespace


def run(code: str | ast.Module, namespace: dict[str, Any]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "<cell>", "exec"), namespace)


class Rename(ast.NodeTransformer):
    """Replace the names that are *used*; the definitions stay."""

    def __init__(self, names: dict[str, str]):
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.Name:
        if isinstance(node.ctx, ast.Load) and node.id in self.names:
            return ast.copy_location(ast.Name(self.names[node.id], node.ctx), node)
        return node


def renamed(code: str, **names: str) -> ast.Module:
    return ast.fix_missing_locations(Rename(names).visit(ast.parse(code)))


def spoil(result: torch.Tensor) -> torch.Tensor:
    """A result that is not what the document's version gives."""
    return result + 0.1


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: row.id)
def test_a_ledger_cell_is_green_and_turns_red_when_the_versions_are_exchanged(row):
    code = cells_of(row.notebook)[row.cell]["source"]
    run(code, setup_of(row.notebook))
    namespace = setup_of(row.notebook)
    if row.verdict == "holds":  # both versions agree, so the document's result is falsified instead
        namespace["spoil"] = spoil
        red = ast.parse(code)
        red.body[0].name = "original"
        red.body[1:1] = ast.parse("def document_version(*arguments): return spoil(original(*arguments))").body
    else:
        red = renamed(code, document_version="correct_version", correct_version="document_version")
    with pytest.raises(AssertionError):
        run(red, namespace)


@needs_documents
def test_the_attention_listing_of_000_raises_the_name_error_that_the_ledger_reports():
    text = next(DOCUMENTS.glob("000_*.txt")).read_text("utf-8")
    listing = re.search(r"### 5\.1.*?```python\n(.*?)```", text, re.DOTALL)[1]
    namespace: dict[str, Any] = {}
    exec(listing, namespace)
    attend, x = namespace["MultiHeadAttention"](10, 4), torch.zeros(1, 4, 10)
    with pytest.raises(NameError, match="math"):
        attend(x, x, x)
    exec("import math", namespace)
    assert attend(x, x, x).shape == (1, 4, 10)  # 10 numbers in 4 heads, and no error: the row `uneven-heads`


def test_the_coverage_counts_every_heading_and_every_row_once():
    counts = ledger.coverage(ROOT)
    assert sum(c["total"] for c in counts["headings"].values()) == len(OUTLINE) == 199
    assert sum(c["covered"] for c in counts["headings"].values()) == sum(h.anchor is not None for h in OUTLINE)
    assert sum(c["shown"] + c["not yet"] for c in counts["ledger"].values()) == len(ROWS)
    assert sum(c["shown"] for c in counts["ledger"].values()) == len(SHOWN)


GOOD_ROW = "{id: a, places: ['000 §1'], says: s, shows: t, verdict: holds, notebook: n, cell: null}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" + GOOD_ROW.replace("holds", "maybe") + "]", 'verdict "maybe"; use holds, refined, wrong'),
        ("[" + GOOD_ROW.replace("shows: t, ", "") + "]", 'row "a" lacks, or should not have: shows'),
        (f"[{GOOD_ROW}, {GOOD_ROW}]", "rows with the same id: a"),
        ("a: 1", "expected a list"),
        ("[", "not YAML"),
    ],
)
def test_a_ledger_that_cannot_be_used_says_which_row_and_why(tmp_path, content, message):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "ledger.yml").write_text(content, "utf-8")
    with pytest.raises(ledger.LedgerError, match=re.escape(message)):
        ledger.load_ledger(tmp_path)


@pytest.mark.parametrize("state", ["", ", anchor: a, covered: no", ", covered: yes"])
def test_an_outline_entry_is_either_anchored_or_not_covered(tmp_path, state):
    (tmp_path / "chapters").mkdir()
    entry = f'"000": [{{number: "1", title: t, notebook: n{state}}}]'
    (tmp_path / "chapters" / "outline.yml").write_text(entry, "utf-8")
    with pytest.raises(ledger.LedgerError, match='000 "t" needs an anchor, or else `covered: no`'):
        ledger.load_outline(tmp_path)


def test_a_notebook_without_rows_cannot_show_a_table():
    with pytest.raises(ledger.LedgerError, match="no row"):
        ledger.show("99_nowhere/01_nothing")


# --- the form of a section


@pytest.mark.parametrize("notebook", BOOK)
def test_a_section_opens_with_a_bilingual_title_parameters_and_imports(notebook):
    title, parameters, imports = list(cells_of(notebook).values())[:3]
    heading, _, rest = title["source"].partition("\n")
    assert re.match(r"# \d+\.\d+ [\u4e00-\u9fff].* · [A-Z]", heading)
    assert re.search(r"本节.*。", rest)
    assert has_tag(parameters, "parameters")
    values: dict[str, Any] = {}
    exec(parameters["source"], values)
    assert {name: values.get(name) for name in ("seed", "device", "profile")} == {
        "seed": 0,
        "device": "auto",
        "profile": "quick",
    }
    assert "session.start(seed, device, profile)" in imports["source"]


@pytest.mark.parametrize("notebook", BOOK)
def test_imports_stand_in_one_cell_and_cells_are_short(notebook):
    for name, cell in cells_of(notebook).items():
        if cell["cell_type"] == "code" and name != "imports":
            assert not re.search(r"^\s*(import|from) ", cell["source"], re.MULTILINE), name
            assert len([line for line in cell["source"].splitlines() if line.strip()]) <= MAX_LINES, name


@pytest.mark.parametrize("notebook", BOOK)
def test_at_least_three_outputs_are_compared_and_none_of_them_is_a_plot(notebook):
    compared = [cell for cell in cells_of(notebook, ".ipynb").values() if has_tag(cell, "nbval-check-output")]
    assert len([cell for cell in compared if cell["outputs"]]) >= 3
    assert not [cell["id"] for cell in compared if any("image/png" in o.get("data", {}) for o in cell["outputs"])]


@pytest.mark.parametrize("notebook", BOOK)
def test_every_plot_is_small_and_has_a_text_alternative(notebook):
    plots = [o for cell in cells_of(notebook, ".ipynb").values() for o in cell.get("outputs", [])]
    plots = [o for o in plots if "image/png" in o.get("data", {})]
    assert plots
    for plot in plots:
        assert len(base64.b64decode(plot["data"]["image/png"])) <= 60_000
        assert len(plot["metadata"]["image/png"]["alt"]) > 40


@pytest.mark.parametrize("notebook", BOOK)
def test_nothing_was_written_to_stderr_and_no_path_of_a_machine_is_stored(notebook):
    for cell in cells_of(notebook, ".ipynb").values():
        for output in cell.get("outputs", []):
            assert output.get("name") != "stderr", cell["id"]
            texts = {kind: data for kind, data in output.get("data", {}).items() if kind != "image/png"}
            shown = str({**output, "data": texts})  # the letters of a picture in base64 can spell anything
            assert not re.search(r"/(home|root|Users|tmp)/|0x[0-9a-f]{6,}", shown), cell["id"]


@pytest.mark.parametrize("notebook", BOOK)
def test_links_to_other_files_of_the_book_lead_somewhere(notebook):
    for name, cell in cells_of(notebook).items():
        for link in re.findall(r"\]\(([^)#:]+)\)", cell["source"]) if cell["cell_type"] == "markdown" else []:
            assert (CHAPTERS / notebook).parent.joinpath(link).is_file(), f"{name}: {link}"


def test_a_section_ends_at_the_next_heading_of_its_level():
    sources = ["# A", "## B", "text", "### C", "## D"]
    cells = {s: {"cell_type": "markdown", "source": s} for s in sources}
    assert [c["source"] for c in section(cells, "## B")] == ["## B", "text", "### C"]
    assert [c["source"] for c in section(cells, "# A")] == sources


# --- other seeds, each a class, since a worker takes a whole class


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("notebook", BOOK)
class AnotherSeed:
    def test_every_check_of_a_section_holds(self, notebook, tmp_path, monkeypatch):
        share = max(1, machine.cores() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
        monkeypatch.setattr(machine, "cores", lambda: share)  # the others belong to tests that run beside this one
        (result,) = batch.run([CHAPTERS / f"{notebook}.ipynb"], Settings(tmp_path, given={"seed": self.seed}))
        assert result.status == "passed"
        assert result.checks


class TestSeed1(AnotherSeed):
    seed = 1


class TestSeed2(AnotherSeed):
    seed = 2
