"""Pictures with words. emoji_images has no splits: they are drawn. photos are ten, for testing."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import tab_table
from lmlib.data.tasks.splits import Reader, Splits, read, seeded_split

EMOJI_COLUMNS = ("file", "hexcode", "category", "name_en", "keywords_en", "name_zh")
# SHA-256 of the lines "SHA-256 of the picture, two spaces, its path", in the order of the hexcodes
EMOJI_PICTURES = "2c749a95596eb13b472b27086c35d889020aabf51154c3f763d1521978eba507"


@dataclass(frozen=True)
class Picture:
    """Where the picture lies, what it shows in words, other words for it, and its category (may be empty)."""

    path: Path
    caption: str
    keywords: tuple[str, ...] = ()
    category: str = ""


def load(name: str, language: str | None = None) -> Splits[Picture]:
    """The pictures of emoji_images (en, zh) or photos (en). Raises DataError for another name or language."""
    return read(READERS, name, language)


def emoji_images(corpus: Corpus, language: str) -> Splits[Picture]:
    """A table of names; the pictures, 64 by 64 points with transparency, lie in png/ beside it."""
    folder = corpus.files["captions.tsv"].parent
    found, digests = [], []
    for place, fields in tab_table(corpus, "captions.tsv", EMOJI_COLUMNS, header=True):
        row = dict(zip(EMOJI_COLUMNS, fields, strict=True))
        path = _existing(folder / row["file"], place)
        digests.append((row["hexcode"], f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {row['file']}\n"))
        keywords = tuple(row["keywords_en"].split("|")) if language == "en" and row["keywords_en"] else ()
        found.append(Picture(path, row[f"name_{language}"], keywords, row["category"]))
    whole = "".join(line for _, line in sorted(digests))
    if hashlib.sha256(whole.encode()).hexdigest() != EMOJI_PICTURES:
        raise DataError(f"{folder / 'png'}: some picture is damaged or another (the SHA-256 of all is not the stated)")
    return seeded_split(found, lambda picture: [picture.path.name])


def photos(corpus: Corpus, language: str) -> Splits[Picture]:
    """A table of files, captions and licences; the pictures lie beside it."""
    rows = tab_table(corpus, "captions.tsv", ("file", "caption", "licence"), header=True)
    found = []
    for place, (name, caption, _) in rows:
        if name not in corpus.files:
            raise DataError(f"{place}: a file of {', '.join(corpus.files)} is expected; got {name!r}")
        found.append(Picture(corpus.files[name], caption))
    return {"test": found}


def _existing(path: Path, place: str) -> Path:
    if not path.is_file():
        raise DataError(f"{place}: the picture {path} is not there")
    return path


READERS: dict[str, Reader[Picture]] = {"emoji_images": emoji_images, "photos": photos}
