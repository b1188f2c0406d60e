"""Templates: a text with named slots, and the worked examples that may stand before it.

A task becomes a text with a gap: "{text} All in all, it was {answer}." Source: Schick and Schütze 2021, section 3.1
(pattern and verbaliser); Brown et al. 2020, section 2 (zero-, one- and few-shot).
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter

from lmlib.prompting.verbalisers import Verbaliser

ANSWER = "answer"  # the slot where the label's word goes

Values = Mapping[str, str]


@dataclass(frozen=True)
class Template:
    """A text with slots in braces, one of them {answer}; {{ and }} stand for braces. Raises ValueError when built."""

    text: str
    slots: tuple[str, ...] = field(init=False)  # their names in order, without the answer

    def __post_init__(self) -> None:
        names = [name for _, name, _, _ in self._pieces() if name is not None]
        if names.count(ANSWER) != 1:
            raise ValueError(
                f"a template needs the slot {{answer}} once; {self.text!r} has it {names.count(ANSWER)} times"
            )
        plain = all(
            name.isidentifier() and not spec and not how for _, name, spec, how in self._pieces() if name is not None
        )
        if not plain:
            raise ValueError(f"slots are plain names, such as {{text}}; got {self.text!r}. Write {{{{ for a brace")
        object.__setattr__(self, "slots", tuple(dict.fromkeys(name for name in names if name != ANSWER)))

    def _pieces(self) -> list[tuple[str, str | None, str | None, str | None]]:
        """(text, slot, format, conversion) from left to right."""
        try:
            return list(Formatter().parse(self.text))
        except ValueError as error:
            raise ValueError(f"the braces of {self.text!r} do not match ({error}); write {{{{ for a brace") from None

    def fill(self, values: Values) -> tuple[str, str]:
        """What stands before the answer and what after it. Raises ValueError unless `values` has just the slots."""
        if set(values) != set(self.slots):
            raise ValueError(f"the template has the slots {sorted(self.slots)}; values were given for {sorted(values)}")
        sides = [""]
        for text, name, _, _ in self._pieces():
            sides[-1] += text
            if name == ANSWER:
                sides.append("")
            elif name is not None:
                sides[-1] += values[name]
        before, after = sides
        return before, after


@dataclass(frozen=True)
class Demonstration:
    """An example whose label is shown."""

    values: Values
    label: Hashable


@dataclass(frozen=True)
class Prompt:
    """A template, the words of its labels, and demonstrations in their order: none is zero-shot."""

    template: Template
    verbaliser: Verbaliser
    demonstrations: Sequence[Demonstration] = ()
    separator: str = "\n\n"  # after each demonstration

    def fill(self, values: Values) -> tuple[str, str]:
        """The text before the answer, demonstrations first, and the text after it."""
        before, after = self.template.fill(values)
        return "".join(self._shown(one) + self.separator for one in self.demonstrations) + before, after

    def _shown(self, one: Demonstration) -> str:
        before, after = self.template.fill(one.values)
        return before + self.verbaliser.word(one.label) + after

    def ordered(self, order: Sequence[int]) -> "Prompt":
        """The same with its demonstrations in another order, given as their numbers."""
        if sorted(order) != list(range(len(self.demonstrations))):
            raise ValueError(
                f"an order has each number of the {len(self.demonstrations)} demonstrations once; got {list(order)}"
            )
        return replace(self, demonstrations=[self.demonstrations[i] for i in order])

    def content_free(self, texts: Sequence[str] = ("N/A", "[MASK]", "")) -> list[Values]:
        """Examples that say nothing: each of these texts in every slot. Source: Zhao et al. 2021, section 5."""
        return [dict.fromkeys(self.template.slots, text) for text in texts]
