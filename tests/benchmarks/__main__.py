"""`python -m tests.benchmarks`: one table of ratios to the peer libraries. No test asserts a time."""

import argparse

import torch

from tests.benchmarks import decoding, training
from tests.benchmarks.interleaved import table


def main() -> None:
    """Run the comparisons and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=decoding.SIZES, default="124M")
    parser.add_argument("--dtype", choices=decoding.DTYPES, nargs="+", default=list(decoding.DTYPES))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    ratios = [training.compare(name, given.rounds, given.device) for name in training.SHAPES]
    ratios += [
        decoding.compare(given.size, dtype, batch, given.tokens, given.rounds, given.device)
        for dtype in given.dtype
        for batch in given.batch
    ]
    print(f"{torch.get_num_threads()} threads on {given.device}; time of transformers divided by ours")
    print(table(ratios))


if __name__ == "__main__":
    main()
