"""Splits by name, and splits drawn for data that comes in one piece."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from lmlib.data.errors import DataError
from lmlib.data.registry import Corpus, corpora, load

Record = TypeVar("Record")
Splits = dict[str, list[Record]]  # "train", "validation", "test" → records
Reader = Callable[[Corpus, str], Splits[Record]]  # a corpus and a language → its records

FILE_PARTS = {"train": "train", "validation": "dev", "test": "test"}  # what many sources call them
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
SEED = 0


def read(readers: Mapping[str, Reader[Record]], name: str, language: str | None) -> Splits[Record]:
    """The records of corpus `name` in a language; without one, in the first that the corpus has.

    Raises DataError for a name that no reader has, and a language that the corpus has not.
    """
    if name not in readers:
        raise DataError(f"no corpus {name!r} is read for this task; there are: {', '.join(readers)}")
    languages = corpora()[name].languages
    if language is not None and language not in languages:
        raise DataError(f"{name} is in {', '.join(languages)}; not in {language!r}")
    return readers[name](load(name), language or languages[0])


def seeded_split(records: Sequence[Record], keys: Callable[[Record], Iterable[str]]) -> Splits[Record]:
    """Eight tenths to train on, one to validate, one to test, in the order given.

    Records that share a key (a text, a source) go to the same split, also by way of a third record. Which goes where
    depends on the keys alone: groups are ranked by the SHA-256 of SEED and their first key.
    """
    groups: dict[int, list[int]] = {}
    for i, group in enumerate(_connected([tuple(keys(record)) for record in records])):
        groups.setdefault(group, []).append(i)
    ranked = sorted(groups.values(), key=lambda members: _rank(next(iter(keys(records[members[0]])))))
    chosen: dict[str, list[int]] = {name: [] for name in SHARES}
    names, bound, n_placed = iter(SHARES), 0.0, 0
    for members in ranked:
        while n_placed >= bound - 1e-9:
            name = next(names)
            bound += SHARES[name] * len(records)
        chosen[name] += members
        n_placed += len(members)
    return {name: [records[i] for i in sorted(members)] for name, members in chosen.items()}


def _rank(key: str) -> bytes:
    return hashlib.sha256(f"{SEED}\n{key}".encode()).digest()


def _connected(keys: Sequence[tuple[str, ...]]) -> list[int]:
    """The number of each record's group: the first record that it is connected to by shared keys."""
    parent = list(range(len(keys)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]  # halve the path, so that it stays short
            i = parent[i]
        return i

    first_with: dict[str, int] = {}
    for i, of_record in enumerate(keys):
        for key in of_record:
            one, other = root(i), root(first_with.setdefault(key, i))
            parent[max(one, other)] = min(one, other)
    return [root(i) for i in range(len(keys))]
