"""`lmbook data`: the corpora that have a name, shown and fetched."""

from lmlib.course.errors import CourseError, WorkFailedError
from lmlib.data import DataError, corpora, load
from lmlib.data.registry import is_here


def show_list() -> None:
    """Print every corpus: whether it is here, its size, languages, licence, and what it is."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("Name", "Here", "Size", "Languages", "Licence", "What"):
        table.add_column(column, justify="right" if column == "Size" else "left", overflow="fold")
    for name, entry in corpora().items():
        size, languages = f"{entry.bytes / 1e6:.1f} MB", ", ".join(entry.languages)
        table.add_row(name, "✓" if is_here(name) else "", size, languages, entry.licence, entry.what)
    console = Console(highlight=False)
    console.print(table)
    console.print("\n`lmbook data get NAME` fetches one into the cache.", style="dim")


def get(names: list[str]) -> None:
    """Fetch corpora (all when no name is given) and print where they lie; one that fails does not stop the others.

    Raises CourseError for an unknown name before anything is fetched, WorkFailedError when some could not be had.
    """
    for name in names:
        if name not in corpora():
            raise CourseError(f"there is no corpus {name!r}; there are: {', '.join(corpora())}")
    failed = []
    for name in names or list(corpora()):
        try:
            for path, file in load(name).files.items():
                print(f"{name}/{path}: {file}")
        except DataError as error:
            failed.append(str(error))
    if failed:
        raise WorkFailedError("\n".join(failed))
