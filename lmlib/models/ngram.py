"""n-gram language models: counts in sorted arrays, add-k and interpolated Kneser–Ney smoothing.

A token depends on the n - 1 tokens before it; n - 1 start markers stand before each sequence. Every m-gram has an id;
it is found by the id of its first m - 1 tokens, its context, and by its last token. So the counts of a corpus of
millions of tokens are a few sorted arrays. Source: Chen & Goodman 1999; Kneser & Ney 1995.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FALLBACK_DISCOUNT = 0.75  # where no n-gram was counted exactly once, the estimate of the discount does not exist
EMPTY_CONTEXT = 0  # the id of the one 0-gram
NEVER_SEEN = -1  # the id of a gram that has none; as an index it finds the last entry, which is 0

Ids = Sequence[int] | NDArray | Tensor


@dataclass(frozen=True)
class Level:
    """All m-grams of one length m, sorted by (context, token); an m-gram's id is its place in this order.

    `count` is how often it occurs when m = n. Below, it is how many different tokens stand before it somewhere: a word
    that follows many others is a likely one in a new place (Kneser & Ney). Grams that end in a start marker count 0.
    """

    keys: NDArray  # (grams,): context · n_symbols + token
    n_symbols: int
    count: NDArray  # (grams + 1,)
    total: NDArray  # (contexts + 1,): the sum of the counts of a context's grams
    kinds: NDArray  # (contexts + 1,): how many different tokens follow a context

    @classmethod
    def from_counts(cls, keys: NDArray, count: NDArray, n_contexts: int, n_symbols: int) -> "Level":
        """Sum up per context; each array gets a last 0 for what was never seen."""
        context = keys // n_symbols
        total = np.bincount(context, count, minlength=n_contexts + 1)
        kinds = np.bincount(context, count > 0, minlength=n_contexts + 1)
        return cls(keys, n_symbols, np.append(count, 0), total, kinds)

    def find(self, context: NDArray, token: NDArray) -> NDArray:
        """The id of each gram (context, token), or NEVER_SEEN."""
        wanted = context * self.n_symbols + token
        at = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        return np.where((self.keys[at] == wanted) & (context != NEVER_SEEN), at, NEVER_SEEN)


def count_ngrams(sequences: Iterable[Ids], order: int, vocab_size: int) -> list[Level]:
    """The grams of lengths 1 to `order`; ids lie in 0..vocab_size-1, and vocab_size is the start marker."""
    if order < 1 or vocab_size < 1:
        raise ValueError(f"order and vocab_size must be at least 1; got {order} and {vocab_size}")
    parts = [check_sequence(sequence, vocab_size) for sequence in sequences]
    if not sum(map(len, parts)):
        raise ValueError("there is no token to count; give at least one sequence that is not empty")
    marker = np.full(order - 1, vocab_size)
    stream = np.concatenate([piece for part in parts for piece in (marker, part)])
    levels: list[Level] = []
    context, shorter = np.zeros(len(stream), dtype=np.int64), np.empty(0, dtype=np.int64)
    n_symbols = vocab_size + 1
    n_contexts = 1
    for m in range(1, order + 1):
        keys, example, gram, count = np.unique(
            context * n_symbols + stream[m - 1 :], return_index=True, return_inverse=True, return_counts=True
        )
        count = np.where(keys % n_symbols == vocab_size, 0, count)  # a start marker is never predicted
        if levels:  # each different m-gram counts once for the (m-1)-gram that it ends in
            suffix = shorter[example + 1]
            below = np.bincount(suffix, count > 0, minlength=n_contexts)
            levels[-1] = Level.from_counts(levels[-1].keys, below, len(levels[-1].total) - 1, n_symbols)
        levels.append(Level.from_counts(keys, count, n_contexts, n_symbols))
        context, shorter, n_contexts = gram[:-1], gram, len(keys)
    return levels


def check_sequence(ids: Ids, vocab_size: int) -> NDArray:
    """The ids as an int64 array. Raises ValueError for another shape, type or range."""
    array = np.asarray(ids)
    if array.ndim != 1:
        raise ValueError(f"a sequence of token ids has one axis; got shape {array.shape}. Put one sequence into a list")
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"token ids must be integers; got {array.dtype}. Words must be encoded first")
    if array.min() < 0 or array.max() >= vocab_size:
        raise ValueError(f"token ids must lie in 0..{vocab_size - 1}; got {array.min()}..{array.max()}")
    return array.astype(np.int64)


class NGram:
    """What all n-gram models share; a subclass says in `smooth` how counts become probabilities."""

    def __init__(self, sequences: Iterable[Ids], order: int, vocab_size: int):
        self.order, self.vocab_size = order, vocab_size
        self.levels = count_ngrams(sequences, order, vocab_size)

    def smooth(self, contexts: list[NDArray], tokens: NDArray) -> NDArray:
        """P(token | context) for each of N tokens; contexts[m], (N,), are the ids of the m tokens before."""
        raise NotImplementedError

    def log_probabilities(self, ids: Ids) -> Tensor:
        """ln P of each token given those before it, (T,) float64; -inf where a model without smoothing says never."""
        tokens = check_sequence(ids, self.vocab_size)
        contexts = [context[:-1] for context in self._contexts(tokens)]
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(self.smooth(contexts, tokens)))

    def probabilities(self, context: Ids = ()) -> Tensor:
        """The distribution of the next token, (V,) float64, after `context`; () is the start of a sequence."""
        tail = check_sequence(context, self.vocab_size)[max(0, len(context) - self.order + 1) :]
        contexts = [np.repeat(ids[-1], self.vocab_size) for ids in self._contexts(tail)]
        return torch.from_numpy(self.smooth(contexts, np.arange(self.vocab_size)))

    def sample(self, n_tokens: int, context: Sequence[int] = (), generator: torch.Generator | None = None) -> list[int]:
        """`n_tokens` tokens drawn one after the other, without the context."""
        drawn = list(context)
        for _ in range(n_tokens):
            drawn.append(int(torch.multinomial(self.probabilities(drawn), 1, generator=generator)))
        return drawn[len(context) :]

    def _contexts(self, tokens: NDArray) -> list[NDArray]:
        """For m = 0..n-1, (T+1,): the id of the m tokens before each position, the position after the end included."""
        stream = np.concatenate([np.full(self.order - 1, self.vocab_size), tokens])
        before = [np.full(len(stream) + 1, EMPTY_CONTEXT)]
        for level in self.levels[:-1]:
            before.append(np.append(NEVER_SEEN, level.find(before[-1][:-1], stream)))
        return [context[self.order - 1 :] for context in before]


class AddK(NGram):
    """P = (count + k) / (total + k·V): every token is seen k times more often. k = 0 is maximum likelihood.

    Source: Chen & Goodman 1999, section 2.1. With k = 0 a context that was never seen raises ValueError.
    """

    def __init__(self, sequences: Iterable[Ids], order: int, vocab_size: int, k: float = 1.0):
        if k < 0:
            raise ValueError(f"k must not be negative; got {k}")
        super().__init__(sequences, order, vocab_size)
        self.k = k

    def smooth(self, contexts: list[NDArray], tokens: NDArray) -> NDArray:
        level, context = self.levels[-1], contexts[-1]
        total = level.total[context] + self.k * self.vocab_size
        if np.any(total == 0):
            raise ValueError(
                f"a context of {self.order - 1} tokens was never seen, and without smoothing (k = 0) it has no "
                "probabilities; give a k above 0 or a lower order"
            )
        return (level.count[level.find(context, tokens)] + self.k) / total


class KneserNey(NGram):
    """Take a discount off every count, and give what this frees to the next shorter context; at last to all tokens.

    P(w|c) = max(count(cw) - D, 0) / total(c) + D · kinds(c) / total(c) · P(w|c without its first token).
    Without `discount` each length has its own D = n₁ / (n₁ + 2n₂), from how many grams count 1 and 2.
    Source: Chen & Goodman 1999, section 2.7, equations 16 to 19 (interpolated form).
    """

    def __init__(self, sequences: Iterable[Ids], order: int, vocab_size: int, discount: float | None = None):
        if discount is not None and not 0 < discount <= 1:
            raise ValueError(f"the discount must lie above 0 and at most at 1; got {discount}")
        super().__init__(sequences, order, vocab_size)
        self.discounts = [estimate_discount(level.count) if discount is None else discount for level in self.levels]

    def smooth(self, contexts: list[NDArray], tokens: NDArray) -> NDArray:
        p = np.full(len(tokens), 1 / self.vocab_size)
        for level, context, discount in zip(self.levels, contexts, self.discounts, strict=True):
            total = level.total[context]
            kept = np.maximum(level.count[level.find(context, tokens)] - discount, 0)
            freed = discount * level.kinds[context]
            p = np.where(total > 0, (kept + freed * p) / np.maximum(total, 1), p)
        return p


def estimate_discount(count: NDArray) -> float:
    """n₁ / (n₁ + 2n₂) from the numbers of grams that count 1 and 2. Source: Ney, Essen & Kneser 1994."""
    once, twice = np.sum(count == 1), np.sum(count == 2)
    return float(once / (once + 2 * twice)) if once else FALLBACK_DISCOUNT
