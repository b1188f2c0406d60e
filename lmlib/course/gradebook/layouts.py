"""Where submissions lie: folders of nbgrader or of a person, zip files of Canvas and Moodle, Gradescope's folder.

Nothing is unpacked to disk and no link is followed: files are read as bytes, up to a limit, and what cannot be read is
handed on with the reason, so that no row of the class is lost.
"""

import json
import lzma
import re
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from lmlib.course.errors import CourseError
from lmlib.course.submission import readable

LARGEST = 20 * 2**20  # bytes of a notebook; a figure in it takes some 50 kB
CANVAS = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_(?P<file>.+)$")  # namefirst_12_345_file.ipynb
CANVAS_COPY = re.compile(r"-\d+(?=\.ipynb$)")  # Canvas adds -1, -2 to the file of a later attempt
MOODLE = re.compile(r"^(?P<name>.+)_(?P<id>\d+)_assignsubmission_file_?$")  # a folder for each participant
LONGEST_NAME = 200  # bytes of a file's name
DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError)  # what unpacking raises for bytes that it did not write
LINK = "a link instead of a file; hand in the file itself"
GRADESCOPE_METADATA = "submission_metadata.json"


@dataclass(frozen=True)
class Handed:
    """A file that a student handed in. `name` is the file's own, without folders; `problem` says why it is empty."""

    student: str
    name: str
    received: datetime
    file: bytes = b""
    problem: str = ""


def find(place: Path) -> list[Handed]:
    """All notebooks at a place, in an order that does not depend on the machine.

    A folder: STUDENT/**/NAME.ipynb, nbgrader's submitted/STUDENT/ASSIGNMENT/, or Gradescope's /autograder. A .zip: as
    Canvas or Moodle gives it, or a folder packed. Raises CourseError when there is no such place or no notebook in it.
    """
    if place.is_dir():
        gradescope = place / GRADESCOPE_METADATA
        found = _of_gradescope(place, gradescope) if gradescope.is_file() else list(_of_folder(place))
    elif zipfile.is_zipfile(place):
        found = list(_of_zip(place))
    else:
        raise CourseError(f"{place}: neither a folder nor a zip file; give the place that holds the notebooks")
    if not found:
        raise CourseError(f"{place}: there is no .ipynb file in it")
    return sorted(map(_nameable, found), key=lambda one: (one.student, one.name, one.received))


def _nameable(one: Handed) -> Handed:
    """The same with names that a database and a file can have."""
    named = replace(one, student=readable(one.student), name=readable(one.name).replace("\0", "_"))
    if len(named.name.encode()) <= LONGEST_NAME:
        return named
    said = f"a file name of {len(named.name)} characters; give it a shorter one"
    return replace(named, name=named.name[:40] + named.name[-6:], file=b"", problem=said)


def _of_folder(folder: Path) -> Iterator[Handed]:
    for path in sorted(folder.rglob("*.ipynb")):
        inside = path.relative_to(folder).parts
        if any(part.startswith(".") for part in inside):
            continue
        student = inside[0] if len(inside) > 1 else path.stem
        yield _read(path, student, folder)


def _read(path: Path, student: str, folder: Path) -> Handed:
    where = [path, *list(path.parents)[: len(path.relative_to(folder).parts) - 1]]
    if any(one.is_symlink() for one in where):
        return Handed(student, path.name, datetime.now(UTC), problem=LINK)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return Handed(student, path.name, datetime.now(UTC), problem="no regular file")
        received = _stated(path.parent) or datetime.fromtimestamp(found.st_mtime, UTC)
        if found.st_size > LARGEST:
            return Handed(student, path.name, received, problem=_too_large(found.st_size))
        return Handed(student, path.name, received, path.read_bytes())
    except OSError as error:
        return Handed(student, path.name, datetime.now(UTC), problem=f"it cannot be read ({error.strerror})")


def _stated(folder: Path) -> datetime | None:
    """The moment in nbgrader's timestamp.txt, such as "2026-02-01 12:30:00.5 UTC"; None without one that is whole."""
    path = folder / "timestamp.txt"
    if not path.is_file() or path.is_symlink():
        return None
    text = path.read_text("utf-8", errors="replace").strip().removesuffix("UTC").strip()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _of_gradescope(folder: Path, metadata: Path) -> list[Handed]:
    """One submission: its students are those of the metadata."""
    stated = json.loads(metadata.read_text("utf-8"))
    received = datetime.fromisoformat(stated["created_at"])
    students = [user.get("email") or user.get("name") or str(user["id"]) for user in stated["users"]]
    files = [one for path in sorted((folder / "submission").rglob("*.ipynb")) for one in [_read(path, "", folder)]]
    return [Handed(student, one.name, received, one.file, one.problem) for student in students for one in files]


def _of_zip(path: Path) -> Iterator[Handed]:
    with zipfile.ZipFile(path) as packed:
        entries = [(info, PurePosixPath(info.filename.replace("\\", "/"))) for info in packed.infolist()]
        namesakes = _namesakes(inside for _, inside in entries)
        for info, inside in entries:
            if info.is_dir() or inside.suffix != ".ipynb" or "__MACOSX" in inside.parts:
                continue
            student, name = _owner(inside, namesakes)
            yield _unpacked(packed, info, student, name)


def _namesakes(paths: Iterable[PurePosixPath]) -> set[str]:
    """The names that several participants of Moodle have: only their numbers tell them apart."""
    found = {match.group("name", "id") for path in paths for part in path.parts[:-1] if (match := MOODLE.match(part))}
    return {name for name, count in Counter(name for name, _ in found).items() if count > 1}


def _owner(inside: PurePosixPath, namesakes: Collection[str] = ()) -> tuple[str, str]:
    """Student and file name of a path in a zip. The path is only read, so one that leads outside does no harm."""
    for part in inside.parts[:-1]:
        if moodle := MOODLE.match(part):
            name = moodle["name"]
            return f"{name} ({moodle['id']})" if name in namesakes else name, inside.name
    folders = [part for part in inside.parts[:-1] if part not in ("..", "/", ".")]
    if not folders and (canvas := CANVAS.match(inside.name)):  # Canvas' zip is flat
        return canvas["id"], CANVAS_COPY.sub("", canvas["file"])
    return (folders[0] if folders else inside.stem), inside.name


def _unpacked(packed: zipfile.ZipFile, info: zipfile.ZipInfo, student: str, name: str) -> Handed:
    received = _moment(info)
    if stat.S_ISLNK(info.external_attr >> 16):
        return Handed(student, name, received, problem=LINK)
    try:
        with packed.open(info) as stream:
            file = stream.read(LARGEST + 1)  # the stated size may be a lie; what is read is what counts
    except (*DAMAGED, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        return Handed(student, name, received, problem=f"it cannot be unpacked ({error})")
    if len(file) > LARGEST:
        return Handed(student, name, received, problem=_too_large(info.file_size))
    return Handed(student, name, received, file)


def _moment(info: zipfile.ZipInfo) -> datetime:
    """When an entry was written, by the clock of this machine: a zip states no zone. 1980 when it is no moment."""
    try:
        return datetime(*info.date_time).astimezone()
    except (ValueError, OverflowError):
        return datetime(1980, 1, 1, tzinfo=UTC)


def _too_large(size: int) -> str:
    return f"the file has {size / 2**20:.0f} MB, more than the {LARGEST // 2**20} MB that are read; clear its outputs"
