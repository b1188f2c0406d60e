"""Text notebooks executed, with the .ipynb beside each: the same file again when the outputs are the same."""

from pathlib import Path

from lmlib.course import book, notebooks
from lmlib.course.errors import WorkFailedError


def build_all(paths: list[Path]) -> None:
    """Build the text notebooks at `paths` (all when empty). Raises WorkFailedError at a failing cell."""
    for text in book.text_notebooks(paths, book.root()):
        print(f"{book.shown(text)} ...", end=" ", flush=True)
        build(text)
        print("built")


def build(text: Path) -> Path:
    """Execute one text notebook in its own folder and write its .ipynb; if a cell fails, the old one stays."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    source = notebooks.read_text(text)
    node = nbformat.from_dict(source)
    client = NotebookClient(
        node,
        timeout=600,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(text.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        failed = next(c for c in node.cells if any(o.output_type == "error" for o in c.get("outputs", [])))
        raise WorkFailedError(
            f"{book.shown(text)}: the cell {failed.id!r} raised {error.ename}: {error.evalue}"
        ) from None
    notebooks.write({**node, "metadata": source["metadata"]}, text.with_suffix(".ipynb"))
    return text.with_suffix(".ipynb")
