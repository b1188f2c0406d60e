"""Where the book lies, and which notebooks a person means."""

from pathlib import Path

from lmlib.course.errors import CourseError

FOLDERS = ("chapters", "solutions")
WORK_NOTES = ".start.json"  # in the root of a student's copy, which is no book of its own


def root() -> Path:
    """The folder of the book: the nearest one at or above the working folder that has `chapters/`.

    Outside a book it is the one that this package was installed from. Raises CourseError when there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / "chapters").is_dir() and not (folder / WORK_NOTES).exists():
            return folder
    raise CourseError(f"{here}: no book here (no folder `chapters` here or above); change to the book's folder")


def select(paths: list[Path], base: Path) -> list[Path]:
    """The notebooks at `paths` (files or folders), sorted; those of chapters and solutions when none is given.

    In a folder an .ipynb that has its text beside it stands for its text. Raises CourseError for a path that
    does not exist or is no notebook, and when nothing is found.
    """
    found: set[Path] = set()
    for path in paths or [base / name for name in FOLDERS if (base / name).is_dir()]:
        if path.is_dir():
            found.update(file.resolve() for file in _in_folder(path))
        elif not path.exists():
            raise CourseError(f"{path}: there is no such file or folder")
        elif path.suffix == ".ipynb" or is_text_notebook(path):
            found.add(path.resolve())
        else:
            raise CourseError(f"{path}: not a notebook; give an .ipynb, a .py with # %% cells, or a folder")
    if not found:
        raise CourseError(f"no notebooks in {', '.join(shown(path) for path in paths or [base])}")
    return sorted(path for path in found if path.suffix == ".py" or path.with_suffix(".py") not in found)


def select_texts(paths: list[Path], base: Path) -> list[Path]:
    """The text notebooks at `paths`, as `select`; an .ipynb stands for the text beside it.

    Raises CourseError also for an .ipynb that has no text.
    """
    texts = set()
    for path in select(paths, base):
        text = path.with_suffix(".py")
        if text.is_file() and is_text_notebook(text):
            texts.add(text)
        elif path in (given.resolve() for given in paths):
            raise CourseError(f"{shown(path)}: there is no text notebook {text.name} beside it to build it from")
    if not texts:
        raise CourseError("no text notebooks there; they are .py files with # %% cells")
    return sorted(texts)


def is_text_notebook(path: Path) -> bool:
    """Whether a file is a text notebook: a .py in which some line starts a cell."""
    return path.suffix == ".py" and "\n# %%" in "\n" + path.read_text("utf-8", errors="replace")


def name_of(path: Path, base: Path) -> str:
    """A notebook's name: its path in the book (or on the machine) without the ending."""
    plain = path.with_suffix("")
    inside = plain.relative_to(base) if plain.is_relative_to(base) else plain.relative_to(plain.anchor)
    return inside.as_posix()


def shown(path: Path) -> str:
    """The path as a person in the working folder would write it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _in_folder(folder: Path) -> list[Path]:
    """Text notebooks, and those .ipynb that have no text beside them; hidden files and folders are left out."""
    files = [
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    texts = {file for file in files if is_text_notebook(file)}
    return [
        file for file in files if file in texts or (file.suffix == ".ipynb" and file.with_suffix(".py") not in texts)
    ]
