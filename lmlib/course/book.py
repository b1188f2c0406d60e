"""Where the book lies, and which notebooks a person means."""

from pathlib import Path

from lmlib.course.errors import CourseError

FOLDERS = ("chapters", "solutions")


def root() -> Path:
    """The folder of the book: the nearest one at or above the working folder that has `chapters/`.

    Outside a book it is the one that this package was installed from. Raises CourseError when there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "chapters").is_dir():
            return folder
    raise CourseError(f"{here}: no book here (no folder `chapters` here or above); change to the book's folder")


def text_notebooks(paths: list[Path], base: Path) -> list[Path]:
    """The text notebooks at `paths` (files or folders), sorted; all of the book at `base` when none is given.

    Raises CourseError for a path that does not exist or is no text notebook, and when nothing is found.
    """
    found: set[Path] = set()
    for path in paths or [base / name for name in FOLDERS if (base / name).is_dir()]:
        if path.is_dir():
            found.update(file.resolve() for file in path.rglob("*.py") if is_text_notebook(file))
        elif not path.exists():
            raise CourseError(f"{path}: there is no such file or folder")
        else:
            text = path.with_suffix(".py")
            if not (text.is_file() and is_text_notebook(text)):
                raise CourseError(f"{path}: there is no text notebook {text.name} (cells marked # %%) to build it from")
            found.add(text.resolve())
    if not found:
        raise CourseError(
            f"no text notebooks in {', '.join(map(str, paths or [base]))}; they are .py files with # %% cells"
        )
    return sorted(found)


def is_text_notebook(path: Path) -> bool:
    """Whether a .py file is a notebook: some line starts a cell."""
    return not path.name.startswith(".") and "\n# %%" in "\n" + path.read_text("utf-8", errors="replace")


def shown(path: Path) -> str:
    """The path as a person in the working folder would write it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
