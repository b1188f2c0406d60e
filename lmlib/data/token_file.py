"""Texts as one file of token ids that is mapped into memory: any size is read at once, and none of it is loaded.

The file is a header of 32 bytes and then the ids, one after the other, little-endian, in 2 bytes each where the
vocabulary has at most 65,536 entries, else in 4. Header: the 8 bytes LMTOKENS, version (uint32), bytes of an id
(uint32), number of ids (uint64), size of the vocabulary (uint64).
"""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from lmlib.data.batching import Batch, Loader, next_tokens
from lmlib.data.errors import DataError

MAGIC, VERSION = b"LMTOKENS", 1
HEADER = struct.Struct("<8sIIQQ")
BUFFERED = 1 << 18  # ids that are kept before they are written
LONGEST_PART = 1 << 16  # characters of a text that are encoded together


def text_parts(path: Path) -> Iterator[str]:
    """The text of a UTF-8 file in parts that end after a blank line, or where one grows too long; joined, all of it.

    Raises DataError when it cannot be read, or is not UTF-8.
    """
    part, size = [], 0
    try:
        with path.open(encoding="utf-8", newline="") as file:
            while line := file.readline(LONGEST_PART):
                part.append(line)
                size += len(line)
                if not line.strip() or size >= LONGEST_PART:
                    yield "".join(part)
                    part, size = [], 0
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: it cannot be read as UTF-8 text ({error})") from None
    if part:
        yield "".join(part)


def write_tokens(
    path: str | Path,
    documents: Iterable[Iterable[str]],
    encode: Callable[[str], Sequence[int]],
    vocab_size: int,
    separator: int | None = None,
) -> int:
    """Encode documents, each in parts, and write them in one pass with little memory; the number of ids.

    `separator` is written after each document. The file is whole or not there: it is written beside its place, forced
    to the disk and renamed. Raises ValueError for ids outside of the vocabulary and for no ids at all, DataError when
    it cannot be written.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    width = 2 if vocab_size <= 1 << 16 else 4
    try:
        with partial.open("wb") as file:
            file.write(HEADER.pack(MAGIC, VERSION, width, 0, vocab_size))
            n = _write_ids(file, _ids(documents, encode, separator), width, vocab_size)
            if n == 0:
                raise ValueError("the documents hold no token; there is nothing to write")
            file.seek(0)
            file.write(HEADER.pack(MAGIC, VERSION, width, n, vocab_size))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}); make room there or choose another") from error
    finally:
        with suppress(OSError):  # what is wrong with the place was told by the error before
            partial.unlink(missing_ok=True)
    return n


def _ids(
    documents: Iterable[Iterable[str]], encode: Callable[[str], Sequence[int]], separator: int | None
) -> Iterator[Sequence[int]]:
    for document in documents:
        for part in document:
            yield encode(part)
        if separator is not None:
            yield [separator]


def _write_ids(file: BinaryIO, pieces: Iterable[Sequence[int]], width: int, vocab_size: int) -> int:
    """Write ids in large blocks; their number."""
    total = 0
    waiting: list[int] = []
    for piece in pieces:
        waiting.extend(piece)
        if len(waiting) >= BUFFERED:
            total += _write_block(file, waiting, width, vocab_size)
            waiting.clear()
    return total + (_write_block(file, waiting, width, vocab_size) if waiting else 0)


def _write_block(file: BinaryIO, ids: list[int], width: int, vocab_size: int) -> int:
    block = np.array(ids, dtype=np.int64)
    if block.min() < 0 or block.max() >= vocab_size:
        raise ValueError(f"ids must lie in 0..{vocab_size - 1}; got {block.min()}..{block.max()}")
    file.write(block.astype(f"<u{width}").tobytes())
    return len(ids)


class TokenFile:
    """A file that `write_tokens` wrote: its ids (N,), mapped, and the size of their vocabulary."""

    def __init__(self, path: str | Path):
        """Raises DataError when the file is not there, is of another kind, or is not whole."""
        self.path = Path(path)
        try:
            with self.path.open("rb") as file:
                start = file.read(HEADER.size)
            n_bytes = self.path.stat().st_size
        except OSError as error:
            raise DataError(
                f"{path} cannot be read ({error.strerror}); `lmbook data tokens` writes such files"
            ) from None
        if len(start) < HEADER.size or not start.startswith(MAGIC):
            raise DataError(f"{path} is no file of tokens; `lmbook data tokens` writes them")
        _, version, width, n, self.vocab_size = HEADER.unpack(start)
        if version != VERSION or width not in (2, 4):
            raise DataError(f"{path} has version {version} of the format, {width} bytes an id; this reads {VERSION}")
        if n_bytes != HEADER.size + n * width:
            raise DataError(f"{path} is damaged: {n} ids need {HEADER.size + n * width} bytes, it has {n_bytes}")
        self.ids = np.memmap(self.path, f"<u{width}", mode="r", offset=HEADER.size, shape=(n,))

    def __len__(self) -> int:
        return len(self.ids)

    def windows(self, length: int, start: int = 0, stop: int | None = None) -> "TokenWindows":
        """The ids start..stop - 1 cut into windows of `length`; what is left at the end is left out."""
        return TokenWindows(self.ids[start:stop], length)


class TokenWindows(Sequence[Tensor]):
    """Windows (length,) int64 of mapped ids (N,), one after the other; each is read when it is asked for."""

    def __init__(self, ids: np.ndarray, length: int):
        if not 1 <= length <= len(ids):
            raise ValueError(f"{len(ids)} tokens do not fill one window of {length}; shorten the windows")
        self.ids, self.length = ids, length

    def __len__(self) -> int:
        return len(self.ids) // self.length

    def __getitem__(self, i: Any) -> Any:
        if not 0 <= i < len(self):
            raise IndexError(f"there are windows 0..{len(self) - 1}; got {i}")
        return torch.from_numpy(self.ids[i * self.length : (i + 1) * self.length].astype(np.int64))


class TokenLoader(Loader):
    """Batches of mapped windows without end, shuffled anew each epoch, for learning the next token.

    It holds one number for each window and no token. Where it stands is a number of batches, so that a run goes on in
    the middle of an epoch. Several processes read disjoint rows of each batch, and none reads another's.
    """

    def __init__(self, windows: TokenWindows, batch_size: int, seed: int = 0):
        super().__init__(windows, batch_size, next_tokens, seed)

    def part(self, rank: int, n: int) -> Iterator[Batch]:
        """Of every batch the `rank`-th of n equal slices of its rows. Raises ValueError when they are not equal."""
        if self.batch_size % n:
            raise ValueError(f"a batch of {self.batch_size} rows cannot be shared evenly among {n} processes")
        size = self.batch_size // n
        while True:
            own = self.next_examples()[rank * size : (rank + 1) * size]
            batch = self.collate([self.examples[i] for i in own])
            self.n_batches += 1  # before it is given, as in `__next__`: a checkpoint after this step counts it
            yield batch
