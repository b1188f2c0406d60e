"""Chain of thought: the small world's arithmetic and journeys, answered at once and after the steps.

Two models of one size and one number of training steps. One learns question -> answer, the other question -> steps ->
answer; the loss is on what follows the question. Test questions have wordings that training held out. The second then
also draws several chains for each question and lets them vote.
"""

import argparse
from collections.abc import Sequence
from statistics import mean

import torch
from torch import Tensor

from lmlib.data.batching import Loader, pad
from lmlib.data.world import make
from lmlib.data.world.tasks import Instruction
from lmlib.decoding import Sampling
from lmlib.models.base import IGNORED_LABEL
from lmlib.models.nanochat import NanoChat
from lmlib.prompting import Working, solve
from lmlib.text.byte_pair_encoding import BytePairEncoding
from tests.learning._small_model import small_model, taught

TASKS = ("shopping", "journey")
WORKING = Working()
WIDTH, LAYERS, BATCH = 64, 3, 32
Example = tuple[list[int], list[int]]  # the question, and all that follows it


def sums(n: int, split: str) -> list[Instruction]:
    """The instructions that ask for a number, among the first n of a split; about one in nine."""
    return [one for one in make(0).instructions(n, split) if one.task in TASKS]


def written(one: Instruction, with_steps: bool) -> tuple[str, str]:
    """The question, and what the model is to write after it."""
    asked = WORKING.asked(one.instruction)
    return asked, WORKING.shown(one.instruction, one.steps if with_steps else "", one.answer).removeprefix(asked)


def answer_batch(examples: list[Example]) -> dict[str, Tensor]:
    """Question and answer as one row; only what follows the question is learned."""
    ids, _ = pad([question + answer for question, answer in examples], 0)
    rows = [[IGNORED_LABEL] * len(question) + answer for question, answer in examples]
    return {"input_ids": ids, "labels": pad(rows, IGNORED_LABEL)[0]}


def trained(examples: list[Example], vocab_size: int, steps: int, seed: int) -> NanoChat:
    """A small model that learned from these examples."""
    model = small_model(vocab_size, WIDTH, LAYERS, 256, seed)
    batches = Loader(examples, BATCH, answer_batch, seed, bucket_by=lambda one: len(one[0]) + len(one[1]))
    return taught(model, batches, steps, seed)


def right(model: NanoChat, tokenizer: BytePairEncoding, asked: list[Instruction], n_chains: int, seed: int) -> dict:
    """The share of right answers, for each task; n_chains above 1 are drawn and vote."""
    sampling = Sampling(temperature=0.7) if n_chains > 1 else None
    questions = [one.instruction for one in asked]
    with torch.inference_mode():
        solved = solve(
            model, tokenizer.encode, tokenizer.decode, questions, 64, sampling=sampling, n=n_chains, seed=seed
        )
    hits = [(one.task, solution.answer == one.answer) for one, solution in zip(asked, solved, strict=True)]
    return {task: mean(hit for of, hit in hits if of == task) for task in TASKS}


def run(arguments: Sequence[str]) -> None:
    """Print the shares of right answers as a table, a row for each seed and way."""
    parser = argparse.ArgumentParser(prog="python -m tests.learning chains", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--instructions", type=int, default=40_000)
    parser.add_argument("--asked", type=int, default=200, help="test questions")
    parser.add_argument("--chains", type=int, default=5)
    given = parser.parse_args(arguments)
    learned, asked = sums(given.instructions, "train"), sums(20 * given.asked, "test")[: given.asked]
    texts = ["".join(written(one, with_steps=True)) for one in learned]
    tokenizer = BytePairEncoding.train(texts, 1000)
    print(f"{len(learned)} questions learned, {len(asked)} asked, {given.steps} steps of {BATCH}")
    print("| seed | way | " + " | ".join(TASKS) + " |\n| --- | --- |" + " --- |" * len(TASKS), flush=True)
    for seed in given.seeds:
        for with_steps in (False, True):
            pairs = [written(one, with_steps) for one in learned]
            examples = [(tokenizer.encode(question), tokenizer.encode(answer)) for question, answer in pairs]
            model = trained(examples, len(tokenizer), given.steps, seed)
            way = "steps, then the answer" if with_steps else "the answer at once"
            report(seed, way, right(model, tokenizer, asked, 1, seed))
            if with_steps:
                report(seed, f"{given.chains} chains vote", right(model, tokenizer, asked, given.chains, seed))


def report(seed: int, way: str, shares: dict[str, float]) -> None:
    """One row."""
    print(f"| {seed} | {way} | " + " | ".join(f"{share:.2f}" for share in shares.values()) + " |", flush=True)
