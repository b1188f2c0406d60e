"""Instructions with what a person would answer: the seed tasks of Self-Instruct train, its user-oriented ones test.

Source: Wang et al. 2023, sections 3.1 and 5.
"""

from dataclasses import dataclass

from lmlib.data.registry import Corpus
from lmlib.data.tasks.formats import field, json_lines
from lmlib.data.tasks.splits import Reader, Splits, read


@dataclass(frozen=True)
class Instruction:
    """A task in words, what it is to be done to (may be empty), and the answer."""

    id: str
    instruction: str
    input: str
    output: str


def load(name: str) -> Splits[Instruction]:
    """The instructions of self_instruct. Raises DataError for another name."""
    return read(READERS, name, None)


def self_instruct(corpus: Corpus, language: str) -> Splits[Instruction]:
    """JSON lines; each instruction has a list of instances, of which each becomes a record."""
    parts = {"train": "seed_tasks.jsonl", "test": "user_oriented_instructions.jsonl"}
    return {split: _part(corpus, path) for split, path in parts.items()}


def _part(corpus: Corpus, path: str) -> list[Instruction]:
    found = []
    for place, row in json_lines(corpus, path):
        task = [field(row, key, str, place) for key in ("id", "instruction")]
        for instance in field(row, "instances", list, place):
            found.append(Instruction(*task, *(field(instance, key, str, place) for key in ("input", "output"))))
    return found


READERS: dict[str, Reader[Instruction]] = {"self_instruct": self_instruct}
