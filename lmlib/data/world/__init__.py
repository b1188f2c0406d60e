"""One small world, whose truth is known: people, towns, trades, kin, likes, things, and what happens in their days.

    world = make(seed=0)
    world.people, world.population.towns, world.population.kin      # the truth, as plain data
    world.corpus("train", "en", n_chars=1_000_000)                  # running text of all kinds
    world.questions(100, "test", "zh", kind="two_hop")              # records of a task, each with its truth

Kinds: stories, news, profiles, reading (a story with questions and answers), reviews, dialogues, questions, tagged,
pairs, summaries, instructions, preferences, pictures. Each is a method `kind(n, split, language)` and returns a list of
frozen dataclasses.

Meaning comes first: an event is a `Clause` of a frame, a verb and roles (meaning.py). Two grammars put it into words,
so that a record tells the same in English and in Chinese; words, frames and set phrases lie in text files beside them.

What holds, and is tested:
- Record i of a kind depends on (VERSION, seed, size, bias, kind, split, i) only, on every machine and Python version.
- 2,000 words or more in each language occur in a corpus, dictionary forms counted, names and closed-class words not.
- A sentence's skeleton is what is left when names become NAME, numbers NUM and every run of other open-class words _
  (sentences.skeleton). None makes up more than 0.5 % of the sentences of a corpus.
- One skeleton in eight is held out (sentences.held_out): training never shows it; testing prefers it.
- Facts are told early and needed late: where a thing was put, who carries what, so where it is (two hops).
- A bias of known strength between gender and trade, and secrets that occur a known number of times, on request.

A scene takes everyone to carry along what they hold, and to be where they were last said to be. Each text is a day of
its own: lasting facts (home, trade, kin, likes) are the same in all texts, whereabouts and feelings are not.
"""

from lmlib.data.world.world import LANGUAGES, SPLITS, VERSION, World


def make(seed: int = 0, size: str = "small", bias: float = 0.0, secrets: int = 0) -> World:
    """The world of a seed. `size`: small (60 people, 8 towns) or large (120, 24).

    `bias` from -1 to 1 skews the trades: of the women a share of (1 + bias) / 2 has a trade of the first group of
    `truth.trade_groups()`, of the men (1 - bias) / 2. `secrets` is how many codes are hidden in the training corpus.
    Raises DataError for another size, a bias or a number of secrets out of range.
    """
    return World(seed, size, bias, secrets)


__all__ = ["LANGUAGES", "SPLITS", "VERSION", "World", "make"]
