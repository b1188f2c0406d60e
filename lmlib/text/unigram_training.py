"""Which pieces, and how probable: begin with many, fit them by EM, drop those that matter least. Kudo 2018, 3.2.

EM: with the probabilities of now, how often is each piece expected in the words (E)? Its share is its next probability
(M). The probability of the words never falls by that.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping

from lmlib.text.lattice import best_segmentation, build_trie, edges, expected_counts

SEED_FACTOR = 10  # so many times more pieces to begin with than to keep
LONGEST_PIECE = 16  # characters
EM_STEPS = 2  # between two rounds of dropping
KEPT = 0.75  # of the pieces in each round
LEAST_COUNT = 1e-3  # of a character that no segmentation needs: it stays a piece


def learn_pieces(words: Mapping[str, int], n_pieces: int) -> dict[str, float]:
    """Pieces and their log probabilities, the likeliest first; every character of the words is one of them.

    Where pieces tie, the one first by code points comes first. Ends with fewer pieces when the words have no more.
    """
    scores = seed_pieces(words, SEED_FACTOR * n_pieces)
    while True:
        for _ in range(EM_STEPS):
            scores, counts, _ = em_step(words, scores)
        if len(scores) <= n_pieces:
            return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))
        scores = drop_pieces(scores, counts, max(n_pieces, int(KEPT * len(scores))))


def seed_pieces(words: Mapping[str, int], size: int) -> dict[str, float]:
    """All characters, and the parts of words with the highest count times length; their shares as log probabilities.

    A part that occurs once is none; nor is any longer one that begins with it, so that place is not looked at again.
    """
    counts: Counter[str] = Counter()
    for word, n in words.items():
        for char in word:
            counts[char] += n
    characters = set(counts)
    begins = {word: list(range(len(word))) for word in words}
    for length in range(2, LONGEST_PIECE + 1):
        found: Counter[str] = Counter()
        for word, starts in begins.items():
            for start in starts:
                if start + length <= len(word):
                    found[word[start : start + length]] += words[word]
        frequent = {part: n for part, n in found.items() if n >= 2}
        counts |= frequent
        begins = {
            word: kept
            for word, starts in begins.items()
            if (kept := [start for start in starts if word[start : start + length] in frequent])
        }
    longer = sorted(counts.keys() - characters, key=lambda part: (-counts[part] * len(part), part))
    kept_counts = {part: counts[part] for part in [*sorted(characters), *longer[: max(0, size - len(characters))]]}
    return log_shares(kept_counts)


def em_step(words: Mapping[str, int], scores: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float], float]:
    """New log probabilities, the expected counts that they come from, and the log probability of the words before."""
    trie = build_trie(scores)
    total: defaultdict[str, float] = defaultdict(float)
    log_likelihood = 0.0
    for word, n in words.items():
        counts, log_probability = expected_counts(edges(trie, word), scores)
        log_likelihood += n * log_probability
        for piece, count in counts.items():
            total[piece] += n * count
    kept = {piece: max(total[piece], LEAST_COUNT) for piece in scores if len(piece) == 1 or total[piece] >= LEAST_COUNT}
    return log_shares(kept), total, log_likelihood


def drop_pieces(scores: dict[str, float], counts: Mapping[str, float], n_kept: int) -> dict[str, float]:
    """Keep all characters, and the pieces whose loss would lower the probability of the words most.

    A piece that is gone is written with others: the loss is its expected count times the drop of the log probability.
    """
    trie = build_trie(scores)
    losses = {}
    for piece in scores:
        if len(piece) > 1:
            lattice = edges(trie, piece)
            lattice[0] = [(end, part) for end, part in lattice[0] if end < len(piece)]  # without itself
            parts = best_segmentation(lattice, scores, -math.inf)
            losses[piece] = counts[piece] * (scores[piece] - sum(scores[piece[a:b]] for a, b in parts))
    n_characters = len(scores) - len(losses)
    best = sorted(losses, key=lambda piece: (-losses[piece], piece))[: max(0, n_kept - n_characters)]
    kept = set(best)
    return {piece: score for piece, score in scores.items() if len(piece) == 1 or piece in kept}


def log_shares(counts: Mapping[str, float]) -> dict[str, float]:
    """The logarithm of each count's share in their sum."""
    total = math.log(sum(counts.values()))
    return {piece: math.log(count) - total for piece, count in counts.items()}
