"""One small world, whose truth is known: `world = make(seed=0)`, then `world.corpus()`, `world.questions()`, ..."""

from lmlib.data.world.world import LANGUAGES, SPLITS, VERSION, World


def make(seed: int = 0, size: str = "small", bias: float = 0.0, secrets: int = 0) -> World:
    """The world of a seed. `size`: small (60 people, 8 towns) or large (120, 24).

    `bias` from -1 to 1 skews the trades: of the women a share of (1 + bias) / 2 has a trade of the first group of
    `truth.trade_groups()`, of the men (1 - bias) / 2. `secrets` is how many codes are hidden in the training corpus.
    """
    return World(seed, size, bias, secrets)


__all__ = ["LANGUAGES", "SPLITS", "VERSION", "World", "make"]
