"""Chain of thought: the model writes the steps first, then the answer; several chains may vote.

Source: Wei et al. 2022; self-consistency: Wang et al. 2023.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lmlib.decoding import Sampling, Stop, generate
from lmlib.prompting.likelihood import Encode

Decode = Callable[[list[int]], str]


@dataclass(frozen=True)
class Working:
    """How a question, the steps to its answer, and the answer are written one below the other.

    Question, steps and answer must be free of `marker` and `end`, or an answer could not be found again.
    """

    marker: str = "Answer: "  # stands before the answer
    end: str = "\n\n"  # after it

    def __post_init__(self) -> None:
        if not self.marker or not self.end:
            raise ValueError(f"marker and end must be texts that can be found; got {self.marker!r} and {self.end!r}")

    def asked(self, question: str) -> str:
        """The question, for the model to go on from."""
        self._check(question)
        return question + "\n"

    def shown(self, question: str, steps: str, answer: str) -> str:
        """A worked example, to train on or to stand before a question. Empty steps: the answer comes at once."""
        self._check(steps, answer)
        worked = f"{steps}\n" if steps else ""
        return f"{self.asked(question)}{worked}{self.marker}{answer}{self.end}"

    def answer_of(self, written: str) -> str | None:
        """The answer in what a model wrote after `asked`; None where it gave none."""
        _, found, rest = written.partition(self.marker)
        return rest.partition(self.end)[0].strip() if found else None

    def _check(self, *texts: str) -> None:
        for text in texts:
            for sign in (self.marker, self.end):
                if sign in text:
                    raise ValueError(f"{sign!r} marks where an answer begins or ends; it stands in {text!r}")


@dataclass(frozen=True)
class Solution:
    """What was written after a question: the chains, and the answer in each (None where it has none)."""

    chains: tuple[str, ...]
    answers: tuple[str | None, ...]

    @property
    def answer(self) -> str | None:
        """The answer of most chains; of equals, that which was written first. None when no chain has one."""
        votes = Counter(answer for answer in self.answers if answer is not None)
        return votes.most_common(1)[0][0] if votes else None

    @property
    def agreement(self) -> float:
        """The share of chains that gave it: a measure of how sure the answer is. 0 where there is none."""
        return self.answers.count(self.answer) / len(self.answers) if self.answer is not None else 0.0


def solve(
    model: Any,
    encode: Encode,
    decode: Decode,
    questions: Sequence[str],
    max_new_tokens: int,
    *,
    working: Working | None = None,
    shown: str = "",
    sampling: Sampling | None = None,
    n: int = 1,
    seed: int | None = None,
    batch_size: int = 64,
) -> list[Solution]:
    """Let the model answer each question: once with the likeliest tokens, or with `sampling` in n chains that vote.

    `shown` stands before each question: worked examples for a model that learned from text only.
    """
    working = working or Working()
    if isinstance(questions, str):
        raise TypeError(f"questions are a list of texts; got the one text {questions[:40]!r}")
    if not questions:
        raise ValueError("there is no question to solve")
    stop = Stop(tokens=None, strings=(working.end,), decode=decode)
    solutions = []
    for start in range(0, len(questions), batch_size):
        prompts = [encode(shown + working.asked(question)) for question in questions[start : start + batch_size]]
        drawn = None if seed is None else seed + start
        written = generate(model, prompts, max_new_tokens, sampling=sampling, n=n, stop=stop, seed=drawn)
        for i in range(0, len(written), n):
            chains = tuple(one.text or "" for one in written[i : i + n])
            ended = [one.stopped_by != "length" for one in written[i : i + n]]  # a number that is cut is another number
            answers = [working.answer_of(chain) if whole else None for chain, whole in zip(chains, ended, strict=True)]
            solutions.append(Solution(chains, tuple(answers)))
    return solutions
