"""When a continuation ends, and what it is when it has ended."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from lmlib.models.base import NOT_NUMBERS

Decode = Callable[[list[int]], str]


@dataclass(frozen=True)
class Stop:
    """What ends a continuation besides its maximum length.

    tokens: ids that end it; None takes `eos_token_id` of the model's config, () takes none.
    strings: texts that end it as soon as they stand in what `decode` makes of the new tokens.
    """

    tokens: Iterable[int] | None = None
    strings: tuple[str, ...] = ()
    decode: Decode | None = None

    def __post_init__(self) -> None:
        if self.tokens is not None:
            object.__setattr__(self, "tokens", tuple(self.tokens))  # a generator could be read only once
        if isinstance(self.strings, str):
            raise TypeError(f"strings must be a tuple of texts; got the one text {self.strings!r}: put it in a tuple")
        if "" in self.strings:
            raise ValueError("an empty stop string would end every continuation at once")
        if self.strings and self.decode is None:
            raise ValueError("stop strings are looked for in text: give decode=, which makes text of a list of ids")

    def after(self, model: Any, max_new_tokens: int) -> "Ending":
        """The rule for this model and length. Raises ValueError for stop tokens outside its vocabulary."""
        return Ending(self, self._token_ids(model), max_new_tokens)

    def _token_ids(self, model: Any) -> frozenset[int]:
        ids = self.tokens
        if ids is None:
            eos = getattr(model.config, "eos_token_id", None)
            ids = [] if eos is None else [eos] if isinstance(eos, int) else eos
            return frozenset(i for i in ids if i < model.config.vocab_size)
        wrong = [i for i in ids if not 0 <= i < model.config.vocab_size]
        if wrong:
            raise ValueError(f"stop tokens must lie in 0..{model.config.vocab_size - 1}; got {wrong}")
        return frozenset(ids)

    def first_string(self, tokens: list[int]) -> int | None:
        """Where in the text of these tokens the first stop string begins; None if none is there."""
        if not self.strings or self.decode is None:
            return None
        text = self.decode(tokens)
        places = [text.find(string) for string in self.strings]
        return min((place for place in places if place >= 0), default=None)


@dataclass(frozen=True)
class Ending:
    """Stop and the maximum length, worked out for one model."""

    stop: Stop
    token_ids: frozenset[int]
    max_new_tokens: int

    def why(self, tokens: list[int]) -> str | None:
        """What ends these tokens: "token", "string" or "length"; None if they go on."""
        if tokens[-1] in self.token_ids:
            return "token"
        if self.stop.first_string(tokens) is not None:
            return "string"
        return "length" if len(tokens) >= self.max_new_tokens else None


@dataclass
class Continuation:
    """What a model wrote after one prompt."""

    prompt: int  # which of the prompts
    tokens: list[int] = field(default_factory=list)  # a stop token is the last of them
    log_probs: list[float] = field(default_factory=list)  # of each token, under the model, before any shaping
    score: float = 0.0  # sum of log_probs; in beam search divided by length ** length_penalty
    stopped_by: str | None = None  # "token", "string", "length" or "constraint"
    text: str | None = None  # with Stop(decode=): without the stop token, and cut before the stop string

    def add(self, token: int, log_prob: float) -> None:
        """Write one token. Raises ValueError when the model gave no number for it."""
        if math.isnan(log_prob):
            raise ValueError(NOT_NUMBERS)
        self.tokens.append(token)
        self.log_probs.append(log_prob)
        self.score += log_prob

    def end(self, stopped_by: str | None, stop: Stop) -> None:
        """Mark as ended by this, if it is not None, and make the text if `stop` knows how."""
        if stopped_by is None:
            return
        self.stopped_by = stopped_by
        if stop.decode is not None:
            self.text = stop.decode(self.tokens[:-1] if stopped_by == "token" else self.tokens)
            cut = stop.first_string(self.tokens) if stopped_by == "string" else None
            self.text = self.text if cut is None else self.text[:cut]
