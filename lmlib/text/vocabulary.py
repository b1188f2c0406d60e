"""Words ↔ ids, the most frequent word first."""

from collections import Counter
from collections.abc import Iterable, Sequence


class Vocabulary:
    """The words that occur at least `min_count` times. Without an `unknown` word the others are left out of a text."""

    def __init__(self, counts: dict[str, int], unknown: str | None = None):
        self.words, self.counts = list(counts), list(counts.values())
        self.ids = {word: i for i, word in enumerate(self.words)}
        self.unknown = None if unknown is None else self.ids[unknown]

    @classmethod
    def from_sentences(
        cls, sentences: Iterable[Sequence[str]], min_count: int = 1, unknown: str | None = None
    ) -> "Vocabulary":
        """Count the words of tokenised sentences. With `unknown` (such as "<unk>") rare words count as that word."""
        seen: Counter[str] = Counter()
        for sentence in sentences:
            if isinstance(sentence, str):
                raise TypeError(f"a sentence is a list of words; got the string {sentence[:40]!r}. Split it first")
            seen.update(sentence)
        kept = {word: n for word, n in seen.most_common() if n >= min_count}
        if unknown is not None:
            kept[unknown] = kept.get(unknown, 0) + sum(n for n in seen.values() if n < min_count)
        if not kept:
            raise ValueError(f"no word occurs {min_count} times in {sum(seen.values())} words; give a lower min_count")
        return cls(kept, unknown)

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, words: Iterable[str]) -> list[int]:
        """The ids of these words; words without an id become the unknown word, or are left out where there is none."""
        if isinstance(words, str):
            raise TypeError(f"words are a list; got the string {words[:40]!r}. Split it first")
        ids = (self.ids.get(word, self.unknown) for word in words)
        return [i for i in ids if i is not None]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of these ids."""
        return [self.words[i] for i in ids]
