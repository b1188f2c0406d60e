"""The book as a student meets it: JupyterLab in a browser, a section that runs, an assignment that answers."""

from pathlib import Path

import pytest

from lmlib.course.start import start
from tests import jupyterlab

ROOT = Path(__file__).resolve().parents[1]
SECTION = "02_core_concepts/02_attention.ipynb"

pytestmark = pytest.mark.skipif(not jupyterlab.CHROMIUM, reason="needs Chromium")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A student's folder and the address of JupyterLab over it."""
    folder = tmp_path_factory.mktemp("lab")
    start(ROOT, folder / "work", update=False)
    with jupyterlab.server(folder / "work", folder / "log") as address:
        yield folder / "work", address


def shown(nb: dict, cell_id: str) -> str:
    """All that a cell printed."""
    cell = next(cell for cell in nb["cells"] if cell["id"] == cell_id)
    return "".join("".join(output.get("text", "")) for output in cell["outputs"])


@pytest.mark.timeout(400)
def test_the_section_runs_from_top_to_bottom_without_an_error(lab, tmp_path):
    work, address = lab
    notebook = work / "chapters" / SECTION
    with jupyterlab.browser_page() as page:
        nb = jupyterlab.run_all(page, address.format(path=f"chapters/{SECTION}"), notebook, seconds=240)
        jupyterlab.show(page, "sharpness")
        page.screenshot(path=tmp_path / "section.png")
        heading = page.locator("h1").first.inner_text()
    assert jupyterlab.errors(nb) == []
    assert all(cell["execution_count"] for cell in nb["cells"] if cell["cell_type"] == "code")
    assert "注意力机制 · Attention" in heading


@pytest.mark.timeout(400)
def test_the_check_says_what_is_not_solved_and_what_is(lab, tmp_path):
    work, address = lab
    notebook = work / "exercises" / SECTION
    with jupyterlab.browser_page() as page:
        nb = jupyterlab.run_all(page, address.format(path=f"exercises/{SECTION}"), notebook, seconds=120)
        assert jupyterlab.errors(nb) == []
        assert shown(nb, "scores-check").startswith("scores: 0 of")
        solve(page, "scores-answer", reference("scores-answer"))
        nb = jupyterlab.run_all(page, None, notebook, seconds=120)
        jupyterlab.show(page, "scores-check")
        assert page.get_by_text("scores: 4 of 4 points").first.is_visible()
        page.screenshot(path=tmp_path / "assignment.png")
    assert shown(nb, "scores-check").startswith("scores: 4 of 4 points")


def reference(cell_id: str) -> str:
    """The instructor's answer."""
    from lmlib.course import notebooks

    nb = notebooks.read(ROOT / "solutions" / SECTION)
    return next(cell["source"] for cell in nb["cells"] if cell["id"] == cell_id)


def solve(page, cell_id: str, source: str) -> None:
    """Put an answer into a cell of the open notebook."""
    page.evaluate(
        """([id, source]) => {
            const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
            for (const cell of cells) if (cell.id === id) cell.sharedModel.setSource(source);
        }""",
        [cell_id, source],
    )
