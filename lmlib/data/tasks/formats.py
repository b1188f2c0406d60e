"""Lines, tables and JSON of a corpus. Each record comes with its place, which the error of a fault names."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus

Rows = Iterator[tuple[str, list[str]]]  # place, fields


def lines(corpus: Corpus, path: str | None = None) -> Iterator[tuple[str, str]]:
    """(place, line) of each line of a text file."""
    return numbered(place_of(corpus, path), corpus.text(path))


def numbered(place: str, text: str) -> Iterator[tuple[str, str]]:
    """(place:number, line) of each line; only a line feed ends one, for other separators occur inside of records."""
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        yield f"{place}:{number}", line


def place_of(corpus: Corpus, path: str | None) -> str:
    """What an error calls a file of the corpus."""
    return str(corpus.files[path] if path in corpus.files else next(iter(corpus.files.values())))


def tab_table(
    corpus: Corpus, path: str, columns: Sequence[str], header: bool = False
) -> Iterator[tuple[str, list[str]]]:
    """(place, fields) of a tab-separated file without quoting. With `header` its first line must name the columns."""
    rows = ((place, line.split("\t")) for place, line in lines(corpus, path))
    return _checked(rows, columns, header, place_of(corpus, path))


def comma_table(
    corpus: Corpus, path: str, columns: Sequence[str], header: bool = True
) -> Iterator[tuple[str, list[str]]]:
    """(place, fields) of a CSV file. A quoted field may hold commas and line ends; the place is the last line."""
    place = place_of(corpus, path)
    return _checked(_comma_rows(corpus.text(path), place), columns, header, place)


def _comma_rows(text: str, place: str) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            yield f"{place}:{reader.line_num}", fields
    except csv.Error as error:
        raise DataError(f"{place}:{reader.line_num}: this is no CSV ({error})") from None


def _checked(rows: Rows, columns: Sequence[str], header: bool, place: str) -> Rows:
    if header:
        where, names = next(rows, (f"{place}:1", []))
        if names != list(columns):
            raise DataError(f"{where}: the header must be {', '.join(columns)}; it is {', '.join(names)}")
    for where, fields in rows:
        if len(fields) != len(columns):
            raise DataError(f"{where}: {len(columns)} fields are expected ({', '.join(columns)}); got {len(fields)}")
        yield where, fields


def json_document(corpus: Corpus, path: str | None = None) -> Any:
    """The value of a JSON file."""
    return parsed(corpus.text(path), place_of(corpus, path))


def json_lines(corpus: Corpus, path: str) -> Iterator[tuple[str, Any]]:
    """(place, value) of each line of a file of JSON lines."""
    for place, line in lines(corpus, path):
        yield place, parsed(line, place)


def parsed(text: str, place: str) -> Any:
    """The value of a JSON text. Raises DataError with the line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = "" if "\n" not in text else f":{error.lineno}"
        raise DataError(f"{place}{line}: this is no JSON ({error.msg})") from None


def field(record: Any, key: str, kind: type, place: str) -> Any:
    """The value under `key`, which must be of this kind (str, list, dict ...). Raises DataError with the place."""
    if not isinstance(record, dict) or not isinstance(record.get(key), kind):
        found = f"{type(record[key]).__name__}" if isinstance(record, dict) and key in record else "nothing"
        raise DataError(f"{place}: {key!r} must be a {kind.__name__}; there is {found}")
    return record[key]


def texts(values: Any, place: str) -> tuple[str, ...]:
    """A list of strings as a tuple. Raises DataError with the place."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise DataError(f"{place}: a list of strings is expected; got {str(values)[:60]}")
    return tuple(values)


def number(text: str, low: float, high: float, place: str) -> float:
    """A number from low to high. Raises DataError with the place."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise DataError(f"{place}: a number from {low:g} to {high:g} is expected; got {text!r}")
    return value


def zipped_text(corpus: Corpus, path: str, member: str, encoding: str = "utf-8") -> tuple[str, str]:
    """(place, text) of a file inside of a zip file, lines ended by a line feed."""
    place = f"{place_of(corpus, path)}/{member}"
    try:
        with zipfile.ZipFile(corpus.files[path]) as archive:
            raw = archive.read(member)
        return place, raw.decode(encoding).replace("\r\n", "\n")
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{place}: no such file can be read from the zip file ({error})") from None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{place}:{line}: these bytes are no {encoding}") from None
