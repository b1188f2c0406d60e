"""Regular expressions as automata over characters, so that one can ask after each character what may follow.

A pattern is a term; its derivative by a character is the term of what may follow it, and where a term may end it is
nullable. Source: Brzozowski 1964. Supported: literals, `.`, classes `[a-z]` `[^…]` `\\d` `\\w` `\\s` and their
complements, groups `(…)` `(?:…)`, `|`, `*` `+` `?` `{m}` `{m,}` `{m,n}`, and `\\` before a sign. Patterns match the
whole text; `\\d` `\\w` `\\s` are those of ASCII (for Chinese: `[一-龥]`); `^`, `$`, look-around and back-references are
refused.
"""

from dataclasses import dataclass

LARGEST_REPEAT = 1000


@dataclass(frozen=True)
class Chars:
    """One character: of these ranges, or, when negated, of none of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def holds(self, char: str) -> bool:
        """Whether this character is meant."""
        return any(low <= char <= high for low, high in self.ranges) != self.negated


@dataclass(frozen=True)
class Sequence:
    """One term after the other; with no terms it is the empty text."""

    terms: "tuple[Term, ...]" = ()


@dataclass(frozen=True)
class Choice:
    """Any of the terms; with no terms it is what nothing matches."""

    terms: "frozenset[Term]" = frozenset()


@dataclass(frozen=True)
class Repeat:
    """A term from `least` to `most` times; most None is without end."""

    term: "Term"
    least: int
    most: int | None


Term = Chars | Sequence | Choice | Repeat
EMPTY, NOTHING = Sequence(), Choice()


def sequence(*terms: Term) -> Term:
    """The terms one after the other, simplified, so that equal rests become equal states."""
    flat: list[Term] = []
    for term in terms:
        if term == NOTHING:
            return NOTHING
        flat += term.terms if isinstance(term, Sequence) else (term,)
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat))


def choice(*terms: Term) -> Term:
    """Any of the terms, simplified."""
    flat: set[Term] = set()
    for term in terms:
        flat |= term.terms if isinstance(term, Choice) else {term}
    return next(iter(flat)) if len(flat) == 1 else Choice(frozenset(flat))


def repeat(term: Term, least: int, most: int | None) -> Term:
    """The term `least` to `most` times, simplified."""
    if most == 0 or term == EMPTY:
        return EMPTY
    return term if (least, most) == (1, 1) else Repeat(term, least, most)


def may_end(term: Term) -> bool:
    """Whether the term matches the empty text."""
    match term:
        case Chars():
            return False
        case Sequence(terms):
            return all(map(may_end, terms))
        case Choice(options):
            return any(map(may_end, options))
        case Repeat(inner, least, _):
            return least == 0 or may_end(inner)


def after(term: Term, char: str) -> Term:
    """The term of what may follow this character; NOTHING when the character is not allowed."""
    match term:
        case Chars():
            return EMPTY if term.holds(char) else NOTHING
        case Sequence(()):
            return NOTHING
        case Sequence((first, *rest)):
            follows = sequence(after(first, char), *rest)
            return choice(follows, after(sequence(*rest), char)) if may_end(first) else follows
        case Choice(options):
            return choice(*(after(option, char) for option in options))
        case Repeat(inner, least, most):
            fewer = repeat(inner, max(least - 1, 0), None if most is None else most - 1)
            return sequence(after(inner, char), fewer)
    raise AssertionError(term)


CLASSES = {
    "d": Chars((("0", "9"),)),
    "w": Chars((("0", "9"), ("A", "Z"), ("_", "_"), ("a", "z"))),
    "s": Chars(((" ", " "), ("\t", "\r"))),
}
SIGNS = {"n": "\n", "t": "\t", "r": "\r"}


def parse(pattern: str) -> Term:
    """The term of a pattern. Raises ValueError that says where it is wrong, or what is not supported."""
    parser = _Parser(pattern)
    term = parser.choice()
    if parser.place < len(pattern):
        raise parser.error("a ) that closes nothing")
    return term


class _Parser:
    """Recursive descent: a choice of sequences of repeated atoms."""

    def __init__(self, pattern: str):
        self.pattern, self.place = pattern, 0

    def error(self, problem: str) -> ValueError:
        return ValueError(f"the pattern {self.pattern!r} has {problem} at character {self.place}")

    def next_is(self, signs: str) -> bool:
        return self.place < len(self.pattern) and self.pattern[self.place] in signs

    def take(self) -> str:
        if self.place == len(self.pattern):
            raise self.error("an end too early")
        self.place += 1
        return self.pattern[self.place - 1]

    def choice(self) -> Term:
        options = [self.sequence()]
        while self.next_is("|"):
            self.take()
            options.append(self.sequence())
        return choice(*options)

    def sequence(self) -> Term:
        terms = []
        while self.place < len(self.pattern) and not self.next_is("|)"):
            terms.append(self.repeated())
        return sequence(*terms)

    def repeated(self) -> Term:
        term = self.atom()
        while self.next_is("*+?{"):
            sign = self.take()
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(sign) or self.counts()
            if self.next_is("?+"):
                raise self.error("a lazy or possessive repeat, which means nothing for a whole text,")
            term = repeat(term, least, most)
        return term

    def counts(self) -> tuple[int, int | None]:
        inside = ""
        while not self.next_is("}"):
            inside += self.take()
        self.take()
        low, comma, high = inside.partition(",")
        if not low.isdecimal() or not (high.isdecimal() or not high):
            raise self.error(f"counts {{{inside}}} that are not {{m}}, {{m,}} or {{m,n}}")
        least, most = int(low), int(high) if high else (None if comma else int(low))
        if max(least, most or 0) > LARGEST_REPEAT or (most is not None and most < least):
            raise self.error(f"counts {{{inside}}} beyond {LARGEST_REPEAT} or in the wrong order")
        return least, most

    def atom(self) -> Term:
        sign = self.take()
        if sign == "(":
            return self.group()
        if sign == "[":
            return self.char_class()
        if sign == "\\":
            return self.escape()
        if sign == ".":
            return Chars((("\n", "\n"),), negated=True)
        if sign in "*+?{^$":
            self.place -= 1
            raise self.error(f"{sign!r}, which is not supported here or repeats nothing,")
        return Chars(((sign, sign),))

    def group(self) -> Term:
        if self.next_is("?"):
            self.take()
            if not self.next_is(":"):
                raise self.error("a kind of group that is not supported")
            self.take()
        term = self.choice()
        if not self.next_is(")"):
            raise self.error("a ( without its )")
        self.take()
        return term

    def escape(self) -> Chars:
        sign = self.take()
        if sign.lower() in CLASSES:
            return Chars(CLASSES[sign.lower()].ranges, negated=sign.isupper())
        if sign.isalnum() and sign not in SIGNS:
            self.place -= 1
            raise self.error(f"\\{sign}, which is not supported,")
        char = SIGNS.get(sign, sign)
        return Chars(((char, char),))

    def char_class(self) -> Chars:
        negated = self.next_is("^")
        if negated:
            self.take()
        ranges: list[tuple[str, str]] = []
        while not self.next_is("]") or not ranges:
            ranges += self.class_item()
        self.take()
        return Chars(tuple(ranges), negated)

    def class_item(self) -> tuple[tuple[str, str], ...]:
        sign = self.take()
        item = self.escape() if sign == "\\" else Chars(((sign, sign),))
        if item.negated:
            raise self.error("a complement inside a class, which is not supported,")
        low, high = item.ranges[0]
        dash = self.next_is("-") and self.pattern[self.place + 1 : self.place + 2] not in ("]", "")
        if not dash or low != high or len(item.ranges) > 1:
            return item.ranges
        self.take()
        sign = self.take()
        end = self.escape() if sign == "\\" else Chars(((sign, sign),))
        last, highest = end.ranges[0]
        if end.negated or len(end.ranges) > 1 or last != highest:
            raise self.error("a range that ends in a class")
        if last < low:
            raise self.error(f"a range {low}-{last} in the wrong order")
        return ((low, last),)
