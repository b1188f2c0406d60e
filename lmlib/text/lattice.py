"""All ways to cut a word into known pieces, as paths through the places between its characters.

A piece from place i to place j is an edge; a path from the first place to the last is a segmentation, whose score is
the sum of its pieces' log probabilities. Source: Kudo 2018, section 3.2.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping

Edge = tuple[int, str]  # where a piece ends, and the piece

END = ""  # the key in a node of the trie under which the piece that ends there stands


def build_trie(pieces: Iterable[str]) -> dict:
    """Nested dictionaries, one character a level, so that all pieces which begin at one place are found in one walk."""
    root: dict = {}
    for piece in pieces:
        node = root
        for char in piece:
            node = node.setdefault(char, {})
        node[END] = piece
    return root


def edges(trie: dict, word: str) -> list[list[Edge]]:
    """For each place of the word, the pieces that begin there, the shortest first."""
    found: list[list[Edge]] = []
    for start in range(len(word)):
        here: list[Edge] = []
        node = trie
        for end in range(start, len(word)):
            if word[end] not in node:
                break
            node = node[word[end]]
            if END in node:
                here.append((end + 1, node[END]))
        found.append(here)
    return found


def best_segmentation(lattice: list[list[Edge]], scores: Mapping[str, float], unknown: float) -> list[tuple[int, int]]:
    """The pieces (start, end) of the path with the highest score (Viterbi).

    A character that is no piece scores `unknown`. Of paths that score the same up to a place, the one whose last piece
    there is longest is kept.
    """
    n = len(lattice)
    best = [0.0] + [-math.inf] * n
    start_of = [0] * (n + 1)
    for start, here in enumerate(lattice):
        ways = [(end, scores[piece]) for end, piece in here]
        if not any(end == start + 1 for end, _ in ways):
            ways.append((start + 1, unknown))
        for end, score in ways:
            if best[start] + score > best[end]:
                best[end], start_of[end] = best[start] + score, start
    path, end = [], n
    while end > 0:
        path.append((start_of[end], end))
        end = start_of[end]
    return path[::-1]


def expected_counts(lattice: list[list[Edge]], scores: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """How often each piece is expected over all segmentations, and the word's log probability (forward-backward).

    Every character of the word must be a piece.
    """
    n = len(lattice)
    arriving: list[list[float]] = [[] for _ in range(n + 1)]
    arriving[0] = [0.0]
    forward = [0.0] * (n + 1)  # log probability of the characters before each place
    for start, here in enumerate(lattice):
        forward[start] = log_sum_exp(arriving[start])
        for end, piece in here:
            arriving[end].append(forward[start] + scores[piece])
    forward[n] = log_sum_exp(arriving[n])
    backward = [0.0] * (n + 1)  # and of those after it
    counts: defaultdict[str, float] = defaultdict(float)
    for start in reversed(range(n)):
        ways = [(piece, scores[piece] + backward[end]) for end, piece in lattice[start]]
        backward[start] = log_sum_exp([score for _, score in ways])
        for piece, score in ways:
            counts[piece] += math.exp(forward[start] + score - forward[n])
    return counts, forward[n]


def log_sum_exp(values: list[float]) -> float:
    """ln Σ exp of some values, without overflow."""
    if len(values) == 1:
        return values[0]
    highest = max(values)
    return highest + math.log(sum(math.exp(value - highest) for value in values))
