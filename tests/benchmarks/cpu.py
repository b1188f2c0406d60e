"""`python -m tests.benchmarks.cpu`: the table of speed on a CPU, each row with its target; name rows to run only those.

All programs of a row take turns in one process, and only quiet rounds count. A ratio is the time of what stands beside
"against" divided by ours, so above 1 ours is the faster. For a share of the bandwidth, "against" is a program that
reads as many bytes as the weights have, once for each token: the share of the time that reading alone would take.
"""

import argparse
import contextlib
import math
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig as PeerBertConfig
from transformers import BertForMaskedLM

from lmlib import fast
from lmlib.data import world
from lmlib.data.batching import Loader, Windows, next_tokens
from lmlib.decoding import Stop, generate
from lmlib.models.bert import Bert, BertConfig
from lmlib.text.byte_pair_encoding import BytePairEncoding
from lmlib.text.bytes import Bytes
from lmlib.training import TrainingConfig, train
from tests.benchmarks import decoding, peers
from tests.benchmarks.interleaved import Program, Ratio, measure
from tests.benchmarks.training import BATCHES, SIZES, steps_of

CPU = torch.device("cpu")
READING = "reading the weights"
KEPT: list[contextlib.ExitStack] = []  # fast paths that are open as long as programs run in them
HEAD = "| row | against | measured | min | max | target | rounds | ours |\n" + "| --- " * 8 + "|"


@dataclass(frozen=True)
class Row:
    """One line of the table: a ratio and what it should be at least; no target where only the ratio is wanted."""

    ratio: Ratio
    target: float | None = None
    share: bool = False  # show it in percent

    def __str__(self) -> str:
        r, form = self.ratio, ".0%" if self.share else ".2f"
        numbers = " | ".join(format(value, form) for value in (r.median, r.smallest, r.largest))
        reached = "" if self.target is None else " ✓" if r.median >= self.target else " ✗"
        target = "none" if self.target is None else format(self.target, form)
        return f"| {r.work} | {r.peer} | {numbers} | {target}{reached} | {r.rounds} | {r.seconds:.3f} s |"


def main() -> None:
    """Run the rows one after the other and print each as it is measured."""
    rows = {
        "train-small": train_small,
        "train-large": train_large,
        "mlm": mlm,
        "greedy-float32": partial(greedy, "float32", target=0.65),
        "greedy-bfloat16": partial(greedy, "bfloat16", target=0.52),
        "batch-8": batch_8,
        "int8": int8,
        "bpe": bpe,
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*rows, []], help="all if none is named")
    parser.add_argument("--size", choices=decoding.SIZES, default="124M", help="of the models that write")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {load}\n\n{HEAD}")
    for name in given.rows or rows:
        print(*rows[name](given), sep="\n", flush=True)


# Training -----------------------------------------------------------------------------------------------------


@dataclass
class Pair:
    """Our GPT-2 and scripts in nanoGPT's style with the same weights, and a batch."""

    size: peers.Size
    ids: Tensor
    stored: dict[str, Tensor]

    @classmethod
    def of(cls, name: str) -> "Pair":
        """One of the sizes of `training`."""
        size, draw = SIZES[name], torch.Generator().manual_seed(1)
        ids = torch.randint(0, size.vocab_size, (BATCHES[name], size.context), generator=draw)
        return cls(size, ids, peers.transformers_gpt2(size).state_dict())

    def ours(self, around: Callable[[], AbstractContextManager[Any]] | None = None, compiled: bool = False) -> Program:
        """Five steps of ours; by its fast path unless something else stands around each step."""
        model = peers.ours(self.size, self.stored)
        run = torch.compile(model) if compiled else model
        return steps_of(model, lambda ids: run(ids, labels=ids).loss, self.ids, 5, around=around or self.fast())

    def script(
        self, around: Callable[[], AbstractContextManager[Any]], fused: bool = True, compiled: bool = False
    ) -> Program:
        """Five steps of the script."""
        script = peers.script(self.size, self.stored)
        targets = torch.cat([self.ids[:, 1:], torch.full_like(self.ids[:, :1], -1)], dim=1)
        run = torch.compile(script) if compiled else script
        return steps_of(script, lambda ids: run(ids, targets), self.ids, 5, fused=fused, around=around)

    def fast(self, precision: str = "float32") -> Callable[[], AbstractContextManager[Any]]:
        """The switches of our fast path."""
        path = fast.TrainingPath(peers.untrained(self.size), CPU, precision)

        @contextlib.contextmanager
        def around() -> Iterator[None]:
            is_bfloat16 = precision == "bfloat16"
            with path.step(self.ids.numel(), self.ids.size(1)), torch.autocast("cpu", torch.bfloat16, is_bfloat16):
                yield

        return around

    def plain(self) -> AbstractContextManager[Any]:
        """Products as torch makes them by itself."""
        return torch.autocast("cpu", enabled=False)


def train_small(given: argparse.Namespace) -> list[Row]:
    """4 × 128, where calls cost as much as products: ours, and ours compiled, against scripts."""
    pair = Pair.of("4 × 128")
    ours = {"": pair.ours(), ", compiled": pair.ours(compiled=True)}
    scripts = {
        "nanoGPT's style, eager, as published": pair.script(pair.plain, fused=False),
        "nanoGPT's style, compiled, fused AdamW": pair.script(pair.plain, compiled=True),
    }
    check_losses([*ours.values(), *scripts.values()])
    targets = (1.15, None)
    return [
        Row(ratio, target)
        for how, program in ours.items()
        for ratio, target in zip(
            measure(f"training, 5 steps, 4 × 128, float32{how}", program, scripts, given.rounds), targets, strict=True
        )
    ]


def train_large(given: argparse.Namespace) -> list[Row]:
    """6 × 384: the fast path against a script as published, against one with the same switches, and in bfloat16."""
    pair = Pair.of("6 × 384")
    reason = fast.TrainingPath(peers.untrained(pair.size), CPU, "float32").reason
    published = pair.script(pair.plain, fused=False)
    scripts = {
        "nanoGPT's style, eager, as published": published,
        "the same with our switches": pair.script(pair.fast()),
    }
    ours, halved = pair.ours(), pair.ours(pair.fast("bfloat16"))
    check_losses([ours, *scripts.values()])
    work = "training, 5 steps, 6 × 384"
    ratios = measure(f"{work}, float32 ({reason or 'fast path'})", ours, scripts, given.rounds)
    ratios += measure(f"{work}, bfloat16", halved, {"nanoGPT's style, as published, float32": published}, given.rounds)
    return [Row(ratio, target) for ratio, target in zip(ratios, (1.7, 1.05, 2.3), strict=True)]


def check_losses(programs: list[Program]) -> None:
    """Run each once. Raises AssertionError when they do not begin with the same loss."""
    first = torch.tensor([program() for program in programs])
    torch.testing.assert_close(first, first[:1].expand_as(first), rtol=1e-4, atol=1e-4)


def mlm(given: argparse.Namespace) -> list[Row]:
    """One step of a BERT, 4 × 256, whose head scores only positions with a label; 16 texts of 128, 15 % labelled."""
    rows = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        sizes = {"vocab_size": 30522, "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
        no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        peer = BertForMaskedLM(PeerBertConfig(**sizes, **no_dropout, intermediate_size=1024))
        values = peer.config.to_dict()
        ours = Bert(BertConfig.from_peer(values), "masked_lm")
        ours.load_stored(peer.state_dict())
        draw = torch.Generator().manual_seed(1)
        ids = torch.randint(1000, 30522, (16, 128), generator=draw)
        labels = ids.masked_fill(torch.rand(ids.shape, generator=draw) > 0.15, -100)
        around = partial(torch.autocast, "cpu", torch.bfloat16, enabled=dtype == torch.bfloat16)
        programs = {
            "ours": _mlm_steps(ours, {"labels": labels, "labelled_only": True}, ids, around),
            "transformers": _mlm_steps(peer, {"labels": labels}, ids, around),
        }
        first = [program() for program in programs.values()]
        tolerance = 1e-4 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(first[0], first[1], rtol=tolerance, atol=tolerance)
        work = f"MLM step 4 × 256, vocabulary 30,522, {str(dtype).removeprefix('torch.')}"
        (ratio,) = measure(work, programs.pop("ours"), programs, given.rounds)
        rows.append(Row(ratio, 2.5))
    return rows


def _mlm_steps(
    model: nn.Module, options: dict[str, Any], ids: Tensor, around: Callable[[], AbstractContextManager[Any]]
) -> Callable[[], float]:
    return steps_of(model, lambda ids: model(ids, **options).loss, ids, 2, around=around)


# Decoding -----------------------------------------------------------------------------------------------------


def weights_read(model: Any) -> int:
    """Bytes of the weights that a step must read: all but the table of positions."""
    numbers = sum(p.numel() for p in model.parameters()) - model.position.weight.numel()
    return numbers * model.position.weight.element_size()


def reading(n_bytes: int, times: int) -> Program:
    """Read so many bytes from memory, so many times."""
    memory = torch.ones(n_bytes // 4)

    def run() -> None:
        for _ in range(times):
            memory.sum()

    return run


def greedy_programs(given: argparse.Namespace, dtype: str, batch: int, weights: str = "same") -> dict[str, Program]:
    """Ours by its fast path, compiled and not, ours by the plain one, transformers; and a reading of the weights."""
    size = decoding.SIZES[given.size]
    peer = peers.transformers_gpt2(size).eval()
    stored = peer.state_dict()
    ours, plain = (peers.ours(size, stored).eval().to(decoding.DTYPES[dtype]) for _ in range(2))
    peer.to(decoding.DTYPES[dtype])
    ids = torch.randint(0, size.vocab_size, (batch, decoding.PROMPT_LENGTH), generator=torch.Generator().manual_seed(1))
    n = given.tokens
    options = {"max_new_tokens": n, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}
    paths = contextlib.ExitStack()
    paths.enter_context(fast.decoding(ours, batch, weights))  # until the process ends: the programs run inside
    KEPT.append(paths)
    n_bytes = weights_read(plain)
    return {
        "ours": lambda: [row.tokens for row in generate(ours, ids, n, stop=Stop(()), compiled=True)],
        "the fast path, not compiled": lambda: [row.tokens for row in generate(ours, ids, n, stop=Stop(()))],
        "the plain path": lambda: [row.tokens for row in generate(plain, ids, n, stop=Stop(()))],
        "transformers": lambda: peer.generate(ids, **options)[:, decoding.PROMPT_LENGTH :].tolist(),
        f"{READING}, {n_bytes / 1e6:.0f} MB a token": reading(n_bytes, n),
    }


def greedy(dtype: str, given: argparse.Namespace, target: float) -> list[Row]:
    """One text: the share of the time that reading the weights takes, for ours, and the ratios to others."""
    programs = greedy_programs(given, dtype, 1)
    if dtype == "float32":  # in bfloat16 scores tie, and programs may go different ways
        written = [program() for name, program in programs.items() if not name.startswith(READING)]
        assert all(tokens == written[0] for tokens in written), "the programs do not write the same tokens"
    work = f"greedy GPT-2 {given.size} shape, {given.tokens} tokens, batch 1, {dtype}"
    ratios = measure(work, programs.pop("ours"), programs, given.rounds)
    is_share = {r.peer: r.peer.startswith(READING) for r in ratios}
    return [Row(r, target if is_share[r.peer] else None, is_share[r.peer]) for r in ratios]


def batch_8(given: argparse.Namespace) -> list[Row]:
    """Eight texts at once, in bfloat16."""
    programs = greedy_programs(given, "bfloat16", 8)
    programs = {name: program for name, program in programs.items() if not name.startswith(READING)}
    work = f"greedy GPT-2 {given.size} shape, {given.tokens} tokens, batch 8, bfloat16"
    ratios = measure(work, programs.pop("ours"), programs, given.rounds)
    return [Row(r, 1.3 if r.peer == "transformers" else None) for r in ratios]


def int8(given: argparse.Namespace) -> list[Row]:
    """Weights of one byte against our bfloat16, and what rounding does to the perplexity of a trained model."""
    rounded = greedy_programs(given, "float32", 1, "int8")
    others = greedy_programs(given, "bfloat16", 1)
    programs = {"our bfloat16, fast path": others["ours"]}
    change = perplexity_change()
    work = f"greedy GPT-2 {given.size} shape, batch 1, int8 (perplexity {change:+.3%} on a trained 4 × 128)"
    (ratio,) = measure(work, rounded["ours"], programs, given.rounds)
    return [Row(ratio, 1.0)]


def perplexity_change(steps: int = 300) -> float:
    """Train 4 × 128 on the small world's bytes; the relative change of its perplexity on held-out text under int8."""
    text = "\n\n".join(piece.text for piece in world.make(0).corpus("train", "en", 300_000))
    ids = torch.tensor(Bytes().encode(text))
    model = peers.untrained(peers.Size(128, 4, 4, 64, 257))
    train(model, Loader(Windows(ids[:-20_000], 64), 12, next_tokens), TrainingConfig(steps, 1e-3, device="cpu"))
    rows = ids[-20_000:].unfold(0, 64, 64)
    with torch.no_grad():
        plain = model(rows, labels=rows).loss
        with fast.decoding(model, weights="int8"):
            return float((model(rows, labels=rows).loss - plain).exp()) - 1


# Text ---------------------------------------------------------------------------------------------------------


def bpe(given: argparse.Namespace, n_chars: int = 10_000_000) -> list[Row]:
    """10 MB of the small world's English, encoded by ours and by `tokenizers` with the same merges."""
    import tokenizers

    pieces = [piece.text for piece in world.make(0).corpus("train", "en", n_chars // 5)]
    texts = pieces * math.ceil(n_chars / sum(map(len, pieces)))
    n_words = len({word for piece in pieces for word in piece.split()})
    ours = BytePairEncoding.train(pieces[:2000], 4096)
    with tempfile.TemporaryDirectory() as folder:
        ours.save(Path(folder))
        library = tokenizers.Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    assert [ours.encode(text) for text in pieces[:200]] == [library.encode(text).ids for text in pieces[:200]]
    size = sum(len(text.encode()) for text in texts) / 1e6
    programs: dict[str, Program] = {
        "tokenizers, one text at a time": lambda: [library.encode(text).ids for text in texts],
        "tokenizers, encode_batch": lambda: library.encode_batch(texts),
    }

    def encode() -> None:
        ours._cache.clear()  # a word is cut once, as it would be in a first run
        for text in texts:
            ours.encode(text)

    work = f"BPE encoding, {size:.1f} MB of few words ({n_words:,}), {len(texts):,} texts"
    return [Row(r) for r in measure(work, encode, programs, given.rounds)]


if __name__ == "__main__":
    main()
