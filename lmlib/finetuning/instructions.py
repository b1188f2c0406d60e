"""Instruction tuning: a conversation as one sequence, in which only the answers and their ends are learned.

A template says what stands around each turn; prompt and answer are encoded apart, so that the prompt's tokens are the
same when the answer is still to be written. Each example has a row of its own: examples that share a row would read
each other.
Source: Wei et al. 2022 (FLAN); Ouyang et al. 2022, section 3.4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from lmlib.data.batching import pad
from lmlib.models.base import IGNORED_LABEL
from lmlib.text.tokenizer import Tokenizer

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class Turn:
    """What one side says: the "system" (how to behave), the "user" or the "assistant"."""

    role: str
    text: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"the role of a turn is one of {', '.join(ROLES)}; got {self.role!r}")


@dataclass(frozen=True)
class ChatTemplate:
    """The text around each turn; an answer follows `assistant`, and a token of its own ends it."""

    system: str = "{text}\n"
    user: str = "Question: {text}\n"
    assistant: str = "Answer: "

    def __post_init__(self) -> None:
        if "{text}" not in self.system or "{text}" not in self.user:
            raise ValueError(f"templates of system and user hold {{text}}; got {self.system!r} and {self.user!r}")


@dataclass(frozen=True)
class Example:
    """Token ids, and the labels, as many: the token itself where it is to be learned, else -100."""

    input_ids: list[int]
    labels: list[int]


class InstructionEncoder:
    """Conversations → examples and prompts, for a decoder-only model whose answers end with the token `end`."""

    def __init__(self, tokenizer: Tokenizer, end: str, template: ChatTemplate | None = None, max_length: int = 1024):
        self.tokenizer, self.end_id = tokenizer, tokenizer.id_of(end)
        self.template, self.max_length = template or ChatTemplate(), max_length

    def example(self, turns: Sequence[Turn]) -> Example:
        """A conversation to learn from. Raises ValueError when it has no answer, or more than `max_length` tokens."""
        if not any(turn.role == "assistant" for turn in turns):
            raise ValueError("a conversation to learn from has a turn of the assistant")
        pieces = self._pieces(turns)
        ids = self._checked([i for piece, _ in pieces for i in piece])
        labels = [i if learned else IGNORED_LABEL for piece, learned in pieces for i in piece]
        return Example(ids, labels)

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """The conversation so far, up to where the assistant is to write. Raises ValueError when it has the word."""
        if not turns or turns[-1].role != "user":
            raise ValueError(f"a prompt ends with a turn of the user; got {[turn.role for turn in turns]}")
        pieces = [*self._pieces(turns), (self._encode(self.template.assistant), False)]
        return self._checked([i for piece, _ in pieces for i in piece])

    def answer(self, ids: Sequence[int]) -> str:
        """The text of what a model wrote, up to the end token."""
        return self.tokenizer.decode(ids[: ids.index(self.end_id)] if self.end_id in ids else ids).strip()

    def _pieces(self, turns: Sequence[Turn]) -> list[tuple[list[int], bool]]:
        """Token ids in order, and whether they are learned."""
        pieces: list[tuple[list[int], bool]] = []
        for turn in turns:
            if turn.role == "assistant":
                pieces.append((self._encode(self.template.assistant), False))
                pieces.append(([*self._encode(turn.text), self.end_id], True))
            else:
                around = self.template.system if turn.role == "system" else self.template.user
                pieces.append((self._encode(around.replace("{text}", turn.text)), False))
        return pieces

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False)

    def _checked(self, ids: list[int]) -> list[int]:
        if len(ids) > self.max_length:
            raise ValueError(f"the conversation has {len(ids)} tokens; max_length={self.max_length}: shorten its turns")
        return ids


def collator(pad_id: int) -> Callable[[Sequence[Example]], dict[str, Tensor]]:
    """Examples → a batch: input_ids, attention_mask and labels, (B, T), padded at the right."""

    def collate(examples: Sequence[Example]) -> dict[str, Tensor]:
        input_ids, mask = pad([example.input_ids for example in examples], pad_id)
        labels, _ = pad([example.labels for example in examples], IGNORED_LABEL)
        return {"input_ids": input_ids, "attention_mask": mask, "labels": labels}

    return collate
