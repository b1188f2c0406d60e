"""A new assignment: a small complete instructor's notebook, released and executed, to be changed step by step."""

import re
from importlib.resources import files

from lmlib.course import book, build, notebooks, release
from lmlib.course.assignment import AssignmentError, all_assignments

NAME = re.compile(r"(?P<chapter>\d\d)_[a-z0-9_]+/(?P<stem>(?P<number>\d\d)_(?P<title>[a-z0-9_]+))")


def start_assignment(name: str) -> None:
    """Write solutions/CHAPTER/NAME.py from a template, and make its release and its executed notebook.

    Raises AssignmentError for a name of another form, and when an assignment of this name exists.
    """
    base, found = book.root(), NAME.fullmatch(name)
    if not found:
        raise AssignmentError(f"{name}: write CHAPTER/NAME with two digits first, such as 03_algorithms/02_encoder")
    taken = [path for path in all_assignments(base) if path.stem == found["stem"]]
    if taken:
        raise AssignmentError(f"{name}: there is {book.shown(taken[0])} already; nbgrader needs different names")
    values = {
        "stem": found["stem"],
        "title": found["title"].replace("_", " "),
        "section": f"{int(found['chapter'])}.{int(found['number'])}",
    }
    text = files("lmlib.course").joinpath("templates/assignment.py.txt").read_text("utf-8")
    path = base / "solutions" / f"{name}.py"
    notebooks.write_atomically(path, re.sub(r"{{(\w+)}}", lambda field: values[field[1]], text))
    release.release_all([name], nbgrader=None)
    build.build(path)
    shown = book.shown(path)
    print(f"{shown} is a complete assignment. Change it, then: lmbook release {name} && lmbook build {shown}")
