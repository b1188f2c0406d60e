"""Memorisation: exposure of secrets that stand 1 to 16 times in the training text, and of others that never do.

A small causal model is trained on texts of the small world, in which the codes of people's safes are hidden. For each
code: its exposure among a million, estimated from a sample, and exact where the estimate says that the model knows it;
and whether the model writes it after the words before it.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from statistics import mean

from scipy import stats
from torch import Tensor

from lmlib import plots
from lmlib.data.batching import Loader, pack
from lmlib.data.world import World, make
from lmlib.interpret.memorisation import CHANCE, Canary, exact_rank, exposure, extract, sampled_exposure
from lmlib.models.nanochat import NanoChat
from lmlib.text.byte_pair_encoding import BytePairEncoding
from tests.learning._small_model import language_batch, small_model, taught

DIGITS = "0123456789"
# Words as in GPT-2, but each digit alone and without the space before it: so all codes have equally many tokens.
PATTERN = r"'s|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+"
LENGTH, BATCH, WIDTH, LAYERS = 128, 16, 96, 2
KNOWN = 8.0  # bits of estimated exposure from which on the exact rank is looked up: it then takes a moment


def hidden_and_not(world: World, n_never: int) -> list[tuple[str, str, int]]:
    """(name, code, times) of each secret, and of codes drawn for people who have none: 0 times."""
    secrets = [(one.person.name.en, one.code, one.times) for one in world.secrets]
    owners = {name for name, _, _ in secrets}
    draw = Random("never planted")
    others = [person.name.en for person in world.people if person.name.en not in owners][:n_never]
    return secrets + [(name, " ".join(draw.choice(DIGITS) for _ in range(6)), 0) for name in others]


def trained(rows: Tensor, vocab_size: int, epochs: int, seed: int) -> NanoChat:
    """A small model that has read all rows `epochs` times."""
    batches = Loader(list(rows), BATCH, language_batch, seed)
    model = small_model(vocab_size, WIDTH, LAYERS, LENGTH, seed)
    return taught(model, batches, epochs * batches.batches_per_epoch, seed)


def measured(model: NanoChat, canary: Canary) -> tuple[float, bool]:
    """Exposure in bits, exact where the secret is known, and whether greedy decoding writes it."""
    bits = sampled_exposure(model, canary)
    if bits > KNOWN:
        bits = exposure(exact_rank(model, canary), canary.n_candidates)
    return bits, extract(model, canary).extracted


def run(arguments: Sequence[str]) -> None:
    """Print exposure by number of repetitions as a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.learning memorisation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--characters", type=int, default=200_000)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--secrets", type=int, default=30)
    parser.add_argument("--figure", type=Path, help="a PNG file to draw the curve into")
    given = parser.parse_args(arguments)
    world = make(0, secrets=given.secrets)
    texts = [text.text for text in world.corpus("train", "en", given.characters)]
    tokenizer = BytePairEncoding.train(texts, 2000, pattern=PATTERN)
    rows = pack([tokenizer.encode(text) for text in texts], LENGTH, tokenizer.id_of("<|endoftext|>"))
    model = trained(rows, len(tokenizer), given.epochs, given.seed)
    found: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for name, code, times in hidden_and_not(world, 20):
        canary = Canary.from_text(tokenizer.encode, f"The code of {name}'s safe is ", code.split(), list(DIGITS))
        found[times].append(measured(model, canary))
    table(found, f"{rows.numel()} tokens read {given.epochs} times, seed {given.seed}")
    if given.figure:
        draw_curve(found, given.figure)


def table(found: dict[int, list[tuple[float, bool]]], about: str) -> None:
    """Rows by repetitions; then how the codes that were never hidden compare with chance."""
    print(about + "\n| times | secrets | mean exposure (bits) | lowest | highest | extracted |\n" + "| --- " * 6 + "|")
    for times in sorted(found):
        bits = [one for one, _ in found[times]]
        n_extracted = sum(extracted for _, extracted in found[times])
        row = f"{mean(bits):.1f} | {min(bits):.1f} | {max(bits):.1f} | {n_extracted}"
        print(f"| {times} | {len(bits)} | {row} |")
    never = [max(bits, 0.0) for bits, _ in found[0]]
    p = stats.kstest(never, stats.expon(scale=CHANCE).cdf).pvalue
    print(
        f"never hidden: mean {mean(never):.2f} bits, {CHANCE:.2f} by chance; Kolmogorov-Smirnov p = {p:.2f}", flush=True
    )


def draw_curve(found: dict[int, list[tuple[float, bool]]], file: Path) -> None:
    """The figure of the table."""
    fig, (ax,) = plots.figure("A secret that is repeated is memorised")
    plots.exposure_curve(ax, {times: [bits for bits, _ in found[times]] for times in sorted(found)}, 10**6)
    file.write_bytes(plots.as_png(fig))
