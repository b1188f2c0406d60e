"""Merging of pairs: learned from counts, then applied in the order learned. Source: Sennrich et al. 2016, algorithm 1.

The pair that occurs most often becomes a new piece, again and again. Two tables make that fast: how often each pair
occurs, and in which words. A merge then touches only the words with that pair, and in them only its neighbours. A heap
gives the most frequent pair; counts in it may be out of date, so they are compared with the table when taken out.
"""

from collections import Counter, defaultdict
from heapq import heapify, heappop, heappush
from itertools import pairwise

Pair = tuple[int, int]


def learn_merges(
    words: Counter[tuple[str, ...]], pieces: list[str], vocab_size: int, min_count: int, prefix: str = ""
) -> tuple[list[str], list[tuple[str, str]]]:
    """The pieces with those learned after them, and the merges (left, right) in order.

    `words` are counted sequences of `pieces`; `prefix` marks a piece inside a word and is dropped from the right piece.
    Of pairs that are equally frequent the one with the lower ids is merged first (left id, then right id), so that the
    order of the words does not matter. Ends before `vocab_size` when no pair occurs `min_count` times.
    """
    pieces = list(pieces)
    ids = {piece: i for i, piece in enumerate(pieces)}
    index = PairIndex([[ids[piece] for piece in word] for word in words], list(words.values()))
    heap = [(-n, pair) for pair, n in index.counts.items()]
    heapify(heap)
    merges = []
    while heap and len(pieces) < vocab_size:
        n, pair = heappop(heap)
        if -n != index.counts[pair]:  # it fell since
            heappush(heap, (-index.counts[pair], pair))
            continue
        if -n < max(1, min_count):
            break
        left, right = (pieces[i] for i in pair)
        merges.append((left, right))
        merged = left + right.removeprefix(prefix)
        if merged not in ids:
            ids[merged] = len(pieces)
            pieces.append(merged)
        for made in index.merge(pair, ids[merged]):
            heappush(heap, (-index.counts[made], made))
    return pieces, merges


class PairIndex:
    """How often each pair of neighbours occurs in counted words, and in which; kept up to date while pairs merge."""

    def __init__(self, words: list[list[int]], word_counts: list[int]):
        self.words, self.word_counts = words, word_counts
        self.counts: defaultdict[Pair, int] = defaultdict(int)
        self.where: defaultdict[Pair, set[int]] = defaultdict(set)
        for i, word in enumerate(words):
            for pair in pairwise(word):
                self.counts[pair] += word_counts[i]
                self.where[pair].add(i)

    def merge(self, pair: Pair, new: int) -> set[Pair]:
        """Replace the pair by a new id in every word; the pairs of neighbours that this made."""
        made: set[Pair] = set()
        for i in self.where.pop(pair):
            self._merge_in_word(i, pair, new, made)
        del self.counts[pair]
        return made - {pair}

    def _merge_in_word(self, i: int, pair: Pair, new: int, made: set[Pair]) -> None:
        word, n = self.words[i], self.word_counts[i]
        left, right = pair
        at, last = 0, len(word) - 1
        while at < last:  # from left to right
            if word[at] == left and word[at + 1] == right:
                neighbours = []
                if at > 0:
                    neighbours.append(((word[at - 1], left), (word[at - 1], new)))
                if at + 1 < last:
                    neighbours.append(((right, word[at + 2]), (new, word[at + 2])))
                for old_pair, new_pair in neighbours:
                    self.counts[old_pair] -= n
                    self.counts[new_pair] += n
                    self.where[new_pair].add(i)
                    made.add(new_pair)
                word[at : at + 2] = [new]
                last -= 1
            at += 1


def apply_merges(pieces: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Merge neighbours: the pair of lowest rank first, the leftmost of these; O(n log n) in the number of pieces.

    The heap holds where a pair begins; what an earlier merge has changed there shows when its rank no longer fits.
    """
    pieces = list(pieces)
    after = list(range(1, len(pieces) + 1))  # the neighbours of each piece that is still there
    before = list(range(-1, len(pieces) - 1))
    heap = [(ranks[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in ranks]
    heapify(heap)
    while heap:
        rank, i = heappop(heap)
        j = after[i]
        if j == len(pieces) or ranks.get((pieces[i], pieces[j])) != rank:
            continue
        pieces[i], pieces[j] = pieces[i] + pieces[j], ""  # no pair has an empty part
        after[i] = after[j]
        if after[i] < len(pieces):
            before[after[i]] = i
        for a, b in ((before[i], i), (i, after[i])):
            if a >= 0 and b < len(pieces) and (pieces[a], pieces[b]) in ranks:
                heappush(heap, (ranks[pieces[a], pieces[b]], a))
    return [piece for piece in pieces if piece]
