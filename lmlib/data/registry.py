"""Real corpora by name: a local folder, then the cache, then a download. Every file is held to its SHA-256."""

import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import yaml

from lmlib.data.download import cache_folder, download, sha256_of
from lmlib.data.errors import DataError

DATA_VARIABLE = "LMBOOK_DATA"


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus. Without `url` it is not published as such, and comes from a local folder only."""

    path: str
    bytes: int
    sha256: str
    url: str | None = None


@dataclass(frozen=True)
class Entry:
    """What the registry knows of a corpus."""

    name: str
    what: str
    languages: tuple[str, ...]
    licence: str
    files: tuple[CorpusFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Corpus:
    """A corpus that lies on this machine: its files by the path that the registry gives them."""

    entry: Entry
    files: dict[str, Path]

    def text(self, path: str | None = None) -> str:
        """One file as UTF-8 text, without byte-order mark, lines ended by a line feed.

        `path` may be left out when the corpus has one file. Raises DataError for an unknown path, and for bytes that
        are no UTF-8 with the line that has them.
        """
        if path is None and len(self.files) == 1:
            path = next(iter(self.files))
        if path not in self.files:
            raise DataError(f"{self.entry.name}: name one of its files: {', '.join(self.files)} (given: {path})")
        raw = self.files[path].read_bytes()
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise DataError(f"{self.files[path]}:{line}: these bytes are no UTF-8; {self.entry.name} is") from None
        return text.replace("\r\n", "\n").replace("\r", "\n")


@cache
def corpora() -> dict[str, Entry]:
    """Every corpus that has a name, in the order of the file."""
    text = resources.files("lmlib.data").joinpath("registry.yml").read_text("utf-8")
    return {
        name: Entry(
            name,
            row["what"],
            tuple(row["languages"]),
            row["licence"],
            tuple(CorpusFile(**file) for file in row["files"]),
        )
        for name, row in yaml.safe_load(text).items()
    }


def local_folders() -> list[Path]:
    """Folders that may hold corpora already, each in a subfolder of its name.

    LMBOOK_DATA when it is set, and only that; else `data/` and `../shared/data/` beside the book or the
    working folder.
    """
    named = os.environ.get(DATA_VARIABLE)
    if named:
        return [Path(named)]
    homes = dict.fromkeys([Path.cwd(), Path(__file__).resolve().parents[2]])
    return [folder for home in homes for folder in (home / "data", home.parent / "shared" / "data") if folder.is_dir()]


def load(name: str) -> Corpus:
    """The corpus `name`, from a local folder, the cache, or its public address (then kept in the cache).

    Raises DataError for an unknown name, a damaged file, and a download that fails.
    """
    entry = _entry(name)
    return Corpus(entry, {file.path: _locate(entry, file) for file in entry.files})


def is_here(name: str) -> bool:
    """Whether every file of a corpus is on this machine, by name and size."""
    entry = _entry(name)
    return all(_candidate(entry, file) is not None for file in entry.files)


def _entry(name: str) -> Entry:
    if name not in corpora():
        raise DataError(f"there is no corpus {name!r}; `lmbook data list` shows all: {', '.join(corpora())}")
    return corpora()[name]


def _candidate(entry: Entry, file: CorpusFile) -> Path | None:
    for folder in [*local_folders(), cache_folder() / "data"]:
        path = folder / entry.name / file.path
        if path.is_file() and path.stat().st_size == file.bytes:
            return path
    return None


def _locate(entry: Entry, file: CorpusFile) -> Path:
    path = _candidate(entry, file)
    if path is not None:
        if sha256_of(path) != file.sha256:
            raise DataError(f"{path}: the file is damaged (its SHA-256 is not {file.sha256[:12]}…); delete it")
        return path
    for path in (folder / entry.name / file.path for folder in local_folders()):
        if path.is_file():
            size = path.stat().st_size
            raise DataError(f"{path}: the file is damaged ({size} bytes; {file.bytes} are expected); delete it")
    if file.url is None:
        raise DataError(
            f"{entry.name}/{file.path} was derived from a larger file and is not published as such; "
            f"put it under a data folder and name that in {DATA_VARIABLE}"
        )
    return download(file.url, cache_folder() / "data" / entry.name / file.path, file.sha256)
