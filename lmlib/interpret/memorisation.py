"""Has a model memorised a secret of its training text? Exposure, and extraction.

A canary is a secret of a known format, "The code of Peter's safe is 5 7 6 7 2 7": from the model's scores alone one can
say how far ahead of the other candidates of that format the true one is. Source: Carlini et al. 2019.
Shapes: M candidates, L places of the secret, V vocabulary.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmlib.decoding import Stop, beam_search
from lmlib.decoding.session import Session
from lmlib.prompting.likelihood import answer_log_probabilities

CHANCE = 1 / math.log(2)  # bits: the mean exposure of a secret that the model never saw, all ranks being as likely
TOLERANCE = 1e-4  # of ln P: two batches round differently; a candidate as likely as the secret counts as ahead of it


@dataclass(frozen=True)
class Canary:
    """The tokens before a secret, the secret, and what might stand at each of its places (one token, where fixed)."""

    prefix: tuple[int, ...]
    secret: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.prefix or not self.secret or len(self.choices) != len(self.secret):
            raise ValueError(
                "a canary needs tokens before the secret, and choices for each of its tokens; got "
                f"{len(self.prefix)} tokens before, {len(self.secret)} of the secret, {len(self.choices)} choices"
            )
        wrong = [i for i, (token, may) in enumerate(zip(self.secret, self.choices, strict=True)) if token not in may]
        if wrong:
            raise ValueError(
                f"the secret is no candidate: its tokens at places {wrong} are not among the choices there"
            )

    @classmethod
    def from_text(
        cls,
        encode: Callable[[str], list[int]],
        before: str,
        secret: Sequence[str],
        choices: Sequence[str],
        between: str = " ",
    ) -> "Canary":
        """`before`, then a secret whose parts (digits, words) are each one of `choices`, with `between` in between.

        Raises ValueError unless the tokenizer makes one token of each part, so that all candidates are equally long.
        """
        own = encode(before + between.join(secret))
        rows = [encode(before + between.join([choice] * len(secret))) for choice in choices]
        if {len(row) for row in rows} != {len(own)}:
            raise ValueError(f"candidates must have equally many tokens; {list(choices)} do not give that")
        columns = [tuple(dict.fromkeys(column)) for column in zip(*rows, strict=True)]
        places = [i for i, column in enumerate(columns) if len(column) > 1]
        if len(places) != len(secret) or any(len(columns[i]) != len(choices) for i in places):
            raise ValueError(
                f"each part of the secret must be a token of its own; {len(secret)} parts are {len(places)}"
            )
        start = places[0]
        return cls(tuple(own[:start]), tuple(own[start:]), tuple(columns[start:]))

    @property
    def n_candidates(self) -> int:
        """How many secrets the format allows."""
        return math.prod(map(len, self.choices))


def exact_rank(model: Any, canary: Canary, batch_size: int = 1024) -> int:
    """The place of the secret among all candidates by ln P, 1 being the likeliest; equals are counted ahead of it.

    A beginning that is less likely than the whole secret cannot lead to a candidate ahead of it, and is left out: a
    secret that the model knows is ranked among millions in a moment. Source: Carlini et al. 2019, sections 4.2, 5.2.
    """
    least = float(_log_probabilities(model, canary, [canary.secret], batch_size)) - TOLERANCE
    start = Session.start(model, [canary.prefix], len(canary.secret))
    begun, sums = torch.empty(1, 0, dtype=torch.long), torch.zeros(1, dtype=torch.float64)
    for may in canary.choices:
        parts = [
            _extended(model, canary, start, begun[i : i + batch_size], sums[i : i + batch_size], may, least)
            for i in range(0, len(begun), batch_size)
        ]
        begun, sums = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return len(begun)


@torch.inference_mode()
def _extended(
    model: Any, canary: Canary, start: Session, begun: Tensor, sums: Tensor, may: tuple[int, ...], least: float
) -> tuple[Tensor, Tensor]:
    """Beginnings (M, l) of secrets, and their ln P (M,), one place longer: those that are at least this likely."""
    choices = torch.tensor(may)
    scores = start.scores
    if begun.size(1):
        cache = start.cache.repeat(len(begun), len(canary.prefix) + begun.size(1))
        scores = model(begun.to(scores.device), cache=cache, last_only=True).logits[:, -1]
    log_p = scores.double().log_softmax(-1).cpu()[:, choices]  # (M, choices)
    totals = sums[:, None] + log_p
    place = begun.size(1)
    own = (begun == torch.tensor(canary.secret[:place])).all(1)[:, None] & (choices == canary.secret[place])
    rows, which = ((totals >= least) | own).nonzero(as_tuple=True)  # rounding must not lose the secret itself
    return torch.cat([begun[rows], choices[which, None]], dim=1), totals[rows, which]


def exposure(rank: int, n_candidates: int) -> float:
    """log2 |R| - log2 rank: by how many bits knowing the model shortens a search for the secret.

    Source: Carlini et al. 2019, definition 4.
    """
    if not 1 <= rank <= n_candidates:
        raise ValueError(f"a rank lies in 1..{n_candidates}, the number of candidates; got {rank}")
    return math.log2(n_candidates) - math.log2(rank)


def sampled_exposure(model: Any, canary: Canary, n: int = 1000, seed: int = 0, batch_size: int = 128) -> float:
    """Exposure estimated from n candidates that are drawn: -log2 of the share that is likelier than the secret.

    The share is read off a skew-normal distribution fitted to their scores, since a secret that is known lies beyond
    all that are drawn; it may come out above log2 |R|. Source: Carlini et al. 2019, section 4.3.
    """
    if n < 30:
        raise ValueError(f"a distribution cannot be fitted to {n} candidates; draw 30 or more")
    draw = torch.Generator().manual_seed(seed)
    columns = [torch.tensor(may)[torch.randint(len(may), (n,), generator=draw)] for may in canary.choices]
    others = torch.stack(columns, dim=1).tolist()
    scores = _log_probabilities(model, canary, [canary.secret, *others], batch_size).double()
    return -skew_normal_log_cdf(float(-scores[0]), -scores[1:]) / math.log(2)


def skew_normal_log_cdf(x: float, sample: Tensor) -> float:
    """ln P(X <= x) under the skew-normal distribution with the mean, variance and skewness of the sample (M,).

    Integrated in logarithms, so that far tails are numbers too. Source: Azzalini 1985.
    """
    mean, std = sample.mean(), sample.std(correction=0)
    if not std > 0:
        raise ValueError("all candidates have the same score, so there is no distribution to fit")
    skewness = ((sample - mean) / std).pow(3).mean().clamp(-0.99, 0.99)  # the family ends at 0.9953
    c = skewness.abs() ** (2 / 3)
    delta = skewness.sign() * (math.pi / 2 * c / (c + ((4 - math.pi) / 2) ** (2 / 3))).sqrt()
    scale = std / (1 - 2 * delta**2 / math.pi).sqrt()
    location = mean - scale * delta * math.sqrt(2 / math.pi)
    z = float((x - location) / scale)
    t = torch.linspace(min(z, 0.0) - 12, z, 20_001, dtype=torch.float64)
    log_density = math.log(2) - t**2 / 2 - math.log(2 * math.pi) / 2
    log_density += torch.special.log_ndtr(delta / (1 - delta**2).sqrt() * t)
    log_density[-1] -= math.log(2)  # the trapezoid rule; at the other end the density is nothing
    return float(log_density.logsumexp(0) + (t[1] - t[0]).log())


def _log_probabilities(model: Any, canary: Canary, secrets: Sequence[Sequence[int]], batch_size: int) -> Tensor:
    """(M,) ln P of each of these secrets after the canary's prefix, which is read once for each batch."""
    groups = [secrets[i : i + batch_size] for i in range(0, len(secrets), batch_size)]
    scored = [answer_log_probabilities(model, [canary.prefix], [group]).total[0] for group in groups]
    return torch.cat(scored)


@dataclass(frozen=True)
class Extraction:
    """What the model writes after a canary's prefix, and how many tokens of the secret it gets right from the start."""

    written: tuple[int, ...]
    n_right: int
    extracted: bool


def extract(model: Any, canary: Canary, n_beams: int = 1) -> Extraction:
    """Let the model go on from the prefix: the likeliest token each time, or the best of `n_beams` continuations."""
    (best,) = beam_search(model, [canary.prefix], len(canary.secret), n_beams=n_beams, stop=Stop(tokens=()))
    written = tuple(best.tokens)
    differs = [i for i, (ours, true) in enumerate(zip(written, canary.secret, strict=True)) if ours != true]
    return Extraction(written, differs[0] if differs else len(written), not differs)
