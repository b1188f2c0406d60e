"""`python -m tests.benchmarks`: one table of ratios to the peer libraries. No test asserts a time."""

import argparse
import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from functools import partial

import torch

from tests.benchmarks import decoding, llama, training
from tests.benchmarks.interleaved import HEAD, Ratio, row

LIBRARIES = ("torch", "transformers", "x-transformers", "litgpt")


def main() -> None:
    """Run the comparisons, one after the other in this process, and print each row as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=decoding.SIZES, default="124M")
    parser.add_argument("--dtype", choices=decoding.DTYPES, nargs="+", default=list(decoding.DTYPES))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    versions = ", ".join(map(_version, LIBRARIES))
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, {given.device}; {versions}")
    print("Time of the peer divided by ours: above 1, ours is the faster one.\n")
    print(HEAD)
    for compare in _comparisons(given):
        print(*map(row, compare()), sep="\n", flush=True)


def _comparisons(given: argparse.Namespace) -> Iterator[Callable[[], list[Ratio]]]:
    """What is compared, in order; each takes some minutes."""
    rounds, device = given.rounds, given.device
    for name in training.SIZES:
        yield partial(training.compare, name, rounds, device)
    for dtype in given.dtype:
        for batch in given.batch:
            yield partial(decoding.compare, given.size, dtype, batch, given.tokens, rounds, device)
    yield partial(llama.compare_training, rounds, device)
    for dtype in given.dtype:
        yield partial(llama.compare_decoding, given.size, decoding.DTYPES[dtype], given.tokens, rounds, device)


def _version(library: str) -> str:
    try:
        return f"{library} {importlib.metadata.version(library)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{library} not installed"


if __name__ == "__main__":
    main()
