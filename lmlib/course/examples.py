"""`lmbook example NAME`: files to begin with, for places where lmbook runs beside other tools."""

from importlib.resources import files

from lmlib.course.errors import CourseError

EXAMPLES = {"classroom": "classroom.yml", "slurm": "sweep.sh"}


def text_of(name: str) -> str:
    """The text of an example. Raises CourseError for a name that is none."""
    if name not in EXAMPLES:
        raise CourseError(f"there is no example {name!r}; there are: {', '.join(EXAMPLES)}")
    return files("lmlib.course").joinpath("templates", EXAMPLES[name]).read_text("utf-8")
