"""`lmbook data`: the corpora that have a name, shown and fetched; texts written as tokens."""

from pathlib import Path

from lmlib.course.errors import CourseError, WorkFailedError
from lmlib.data import DataError, corpora, load
from lmlib.data.registry import is_here

END_OF_TEXT = "<|endoftext|>"


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


def write_tokens(texts: list[Path], to: Path, tokenizer_folder: Path | None) -> None:
    """Write the texts as a file of tokens, after each the tokenizer's <|endoftext|> where it has that.

    Raises CourseError for a tokenizer or a text that is not there, WorkFailedError when the file cannot be written.
    """
    from lmlib.data.token_file import text_parts
    from lmlib.data.token_file import write_tokens as write
    from lmlib.text import tokenizer_json
    from lmlib.text.bytes import Bytes

    for text in texts:
        if not text.is_file():
            raise CourseError(f"{text}: there is no such file")
    try:
        tokenizer = Bytes() if tokenizer_folder is None else tokenizer_json.load(tokenizer_folder)
    except (FileNotFoundError, ValueError) as error:
        raise CourseError(str(error)) from None
    try:
        end = tokenizer.vocabulary.get(END_OF_TEXT)
        n = write(to, map(text_parts, texts), tokenizer.encode_plain, len(tokenizer), end)
    except (DataError, ValueError) as error:
        raise WorkFailedError(str(error)) from None
    print(f"{to}: {n:,} tokens of a vocabulary of {len(tokenizer):,}")
