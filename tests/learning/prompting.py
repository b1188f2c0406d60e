"""Prompting: is a review good or bad? Zero- and few-shot by likelihood, calibration, the order of demonstrations.

A small causal model is pre-trained on texts of the small world, reviews among them; it has learned no labels. It reads
what a test review says of two aspects, then "All in all, I am very", and the likelier of "content" and "frustrated" is
its answer. Demonstrations are training reviews of the same form.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from torch import Tensor

from lmlib import plots
from lmlib.data.batching import Loader, pack
from lmlib.data.world import World, make
from lmlib.data.world.world import Review
from lmlib.evaluation.classification import accuracy
from lmlib.models.nanochat import NanoChat
from lmlib.prompting import (
    Demonstration,
    Prompt,
    Template,
    Verbaliser,
    calibrated,
    causal_scores,
    order_sensitivity,
    orders,
    relative_to_domain,
)
from lmlib.text.byte_pair_encoding import BytePairEncoding
from tests.learning._small_model import language_batch, small_model, taught

LENGTH, BATCH, WIDTH, LAYERS = 192, 12, 96, 3
VERBALISER = Verbaliser({1: "content", 0: "frustrated"})
PROMPT = Prompt(Template("{text} All in all, I am very {answer}."), VERBALISER)
WITHOUT_CONTENT = ("N/A", "This is a thing.", "")


@dataclass(frozen=True)
class Reader:
    """A trained model with its tokenizer."""

    model: NanoChat
    tokenizer: BytePairEncoding

    def scores(self, prompt: Prompt, examples: Sequence[dict[str, str]], by: str = "total") -> Tensor:
        """ln P of the labels, (N, 2)."""
        return causal_scores(self.model, self.tokenizer.encode, prompt, examples, by=by, batch_size=32)

    def calibrated_scores(self, prompt: Prompt, scores: Tensor) -> Tensor:
        """ln P after calibration by inputs without content."""
        return calibrated(scores, self.scores(prompt, prompt.content_free(WITHOUT_CONTENT))).log()


def pretrained(world: World, characters: int, n_reviews: int, steps: int, seed: int) -> Reader:
    """A model that has read a corpus and some more reviews, each text after the other."""
    texts = [text.text for text in world.corpus("train", "en", characters)]
    texts += [review.text.text for review in world.reviews(n_reviews)]
    Random(seed).shuffle(texts)
    tokenizer = BytePairEncoding.train(texts, 2000)
    rows = pack([tokenizer.encode(text + "\n\n") for text in texts], LENGTH, tokenizer.id_of("<|endoftext|>"))
    model = small_model(len(tokenizer), WIDTH, LAYERS, 512, seed)
    return Reader(taught(model, Loader(list(rows), BATCH, language_batch, seed), steps, seed), tokenizer)


def example(review: Review) -> dict[str, str]:
    """What a review says of its aspects, without how it begins and ends, which gives the label away."""
    return {"text": " ".join(one.text for one in review.text.sentences[1:3])}


def table(reader: Reader, prompts: dict[str, Prompt], examples: list[dict[str, str]], labels: list[int]) -> dict:
    """Print the accuracy of each prompt and way to score; returns that before and after calibration."""
    print("| prompt | ln P | ln P a token | relative to the domain | calibrated | said good (ln P, calibrated) |")
    print("| --- " * 6 + "|")
    domain = replace(PROMPT, template=Template("All in all, I am very {answer}."))
    shares = {}
    for name, prompt in prompts.items():
        total = reader.scores(prompt, examples)
        ways = {
            "total": total,
            "mean": reader.scores(prompt, examples, "mean"),
            "domain": relative_to_domain(total, reader.scores(domain, [{}])),
            "calibrated": reader.calibrated_scores(prompt, total),
        }
        right = {way: accuracy(VERBALISER.predictions(scores), labels) for way, scores in ways.items()}
        good = [float((ways[way].argmax(1) == 0).double().mean()) for way in ("total", "calibrated")]
        print(
            f"| {name} | "
            + " | ".join(f"{share:.2f}" for share in right.values())
            + f" | {good[0]:.2f}, {good[1]:.2f} |"
        )
        shares[name] = (right["total"], right["calibrated"])
    return shares


def run(arguments: Sequence[str]) -> None:
    """Print accuracy by prompt and way to score, and by order of the demonstrations."""
    parser = argparse.ArgumentParser(prog="python -m tests.learning prompting", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--characters", type=int, default=300_000)
    parser.add_argument("--reviews", type=int, default=2000)
    parser.add_argument("--asked", type=int, default=200, help="test reviews")
    parser.add_argument("--orders", type=int, default=12)
    parser.add_argument("--figure", type=Path, help="a PNG file to draw orders and calibration into")
    given = parser.parse_args(arguments)
    world = make(0)
    reader = pretrained(world, given.characters, given.reviews, given.steps, given.seed)
    tested = world.reviews(given.asked, "test")
    examples, labels = [example(review) for review in tested], [review.label for review in tested]
    majority = max(labels.count(label) for label in VERBALISER.labels) / len(labels)
    print(f"{len(labels)} test reviews, most frequent label {majority:.2f}; {given.steps} steps of {BATCH} × {LENGTH}")
    shown = [Demonstration(example(review), review.label) for review in world.reviews(40)[20:]]
    four = [*(one for one in shown if one.label == 1)][:2] + [*(one for one in shown if one.label == 0)][:2]
    prompts = {
        "no demonstration": PROMPT,
        "2 demonstrations": replace(PROMPT, demonstrations=four[1:3]),
        "4 demonstrations": replace(PROMPT, demonstrations=four),
    }
    shares = table(reader, prompts, examples, labels)
    spread = order_tables(reader, prompts["4 demonstrations"], examples, labels, orders(4, given.orders))
    if given.figure:
        fig, axes = plots.figure("Order of 4 demonstrations", "Calibration", width=9)
        plots.order_spread(axes[0], spread, majority)
        moments = ("ln P", "calibrated")
        plots.before_and_after(axes[1], shares, moments=moments, y_label="accuracy (0 to 1)", majority=majority)
        given.figure.write_bytes(plots.as_png(fig))


def order_tables(
    reader: Reader, prompt: Prompt, examples: list[dict[str, str]], labels: list[int], tried: list[tuple[int, ...]]
) -> dict[str, Tensor]:
    """Print what the order of the demonstrations changes, without and with calibration; returns the accuracies."""
    print("\n| 4 demonstrations | orders | worst | mean | best | spread | mean entropy (bits) |\n" + "| --- " * 7 + "|")
    raw = {order: reader.scores(prompt.ordered(order), examples) for order in tried}
    ways = {
        "ln P": lambda one: raw[order_of(prompt, one)],
        "calibrated": lambda one: reader.calibrated_scores(one, raw[order_of(prompt, one)]),
    }
    spread = {}
    for name, score in ways.items():
        found = order_sensitivity(score, prompt, labels, tried)
        right = found.accuracy
        numbers = (right.min(), right.mean(), right.max(), found.spread, found.mean_entropy.mean())
        print(
            f"| {name} | {len(tried)} | " + " | ".join(f"{float(number):.2f}" for number in numbers) + " |", flush=True
        )
        spread[name] = right
    return spread


def order_of(prompt: Prompt, one: Prompt) -> tuple[int, ...]:
    """The order that makes `one` of the prompt."""
    return tuple(list(prompt.demonstrations).index(shown) for shown in one.demonstrations)
