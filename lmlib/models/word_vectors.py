"""One vector a word: look up, compare, find the nearest, solve analogies. Word2Vec and GloVe both end in this.

Shapes: V words, C d_model.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class WordVectors:
    """Words and their vectors, `matrix` (V, C)."""

    def __init__(self, words: list[str], matrix: Tensor):
        if matrix.dim() != 2 or len(words) != len(matrix):
            raise ValueError(f"{len(words)} words need a matrix (V, C); got {tuple(matrix.shape)}")
        self.words, self.matrix = words, matrix.detach().float().cpu()
        self.ids = {word: i for i, word in enumerate(words)}
        self.unit = F.normalize(self.matrix, dim=-1)  # (V, C): directions, so that a dot product is a cosine

    def __contains__(self, word: str) -> bool:
        return word in self.ids

    def __getitem__(self, word: str) -> Tensor:
        return self.matrix[self.id(word)]

    def id(self, word: str) -> int:
        """The row of a word. Raises KeyError for one that has no vector."""
        if word not in self.ids:
            raise KeyError(f"{word!r} has no vector; {len(self.words)} words have, such as {', '.join(self.words[:5])}")
        return self.ids[word]

    def cosine(self, first: str, second: str) -> float:
        """The cosine of the angle between two words' vectors."""
        return float(self.unit[self.id(first)] @ self.unit[self.id(second)])

    def nearest(self, query: str | Tensor, k: int = 10, without: tuple[str, ...] = ()) -> list[tuple[str, float]]:
        """The k words nearest by cosine to a word (itself left out) or to a vector (C,), nearest first."""
        if isinstance(query, str):
            return self.nearest(self[query], k, (query, *without))
        scores = self.unit @ F.normalize(query, dim=0)  # (V,)
        scores[[self.id(word) for word in without]] = -torch.inf
        best = scores.topk(min(k, len(self.words) - len(without)))
        return [(self.words[i], score) for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]

    def analogy(self, a: str, b: str, c: str, k: int = 1) -> list[tuple[str, float]]:
        """a is to b as c is to ... : the words nearest to b - a + c in directions. Source: Mikolov et al. 2013b."""
        first, second, third = (self.unit[self.id(word)] for word in (a, b, c))
        return self.nearest(second - first + third, k, without=tuple(dict.fromkeys((a, b, c))))


class RowAdagrad:
    """AdaGrad for tables of which a step touches few rows, each perhaps many times. Source: Duchi et al. 2011.

    Every example adds the square of its own gradient, as if it came alone. So a word that fills a batch takes short
    steps, where plain gradient descent on the sum of the batch would diverge. It needs sparse gradients.
    """

    def __init__(self, tables: Iterable[nn.Parameter], initial: float):
        self.tables = list(tables)
        self.squares = [torch.full_like(table, initial) for table in self.tables]  # `initial` bounds the first steps

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move each row against its gradients, divided by the root of its sum of squares; then forget them."""
        for table, squares in zip(self.tables, self.squares, strict=True):
            if table.grad is None:
                continue
            rows, gradient = table.grad._indices()[0], table.grad._values()  # rows that occur twice stay apart
            squares.index_add_(0, rows, gradient**2)
            table.index_add_(0, rows, gradient * squares[rows].rsqrt(), alpha=-learning_rate)
            table.grad = None


def check_trained(matrix: Tensor) -> Tensor:
    """The matrix itself. Raises ValueError when training has left numbers that are not finite."""
    if not matrix.isfinite().all():
        raise ValueError("training diverged: the vectors are not finite; give a lower learning_rate or batch_size")
    return matrix
