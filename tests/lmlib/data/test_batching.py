"""Padding, packing, buckets, and a loader that gives every example once an epoch and goes on where it stood."""

import itertools
from collections import Counter
from typing import Any

import pytest
import torch

from lmlib.data.batching import Loader, Windows, bucket, pack, pad, truncate


def numbers(examples: list[Any]) -> dict[str, torch.Tensor]:
    return {"x": torch.tensor(examples)}


def take(loader: Loader, n: int) -> list[list[int]]:
    return [batch["x"].tolist() for batch in itertools.islice(loader, n)]


def flat(batches: list[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


def test_pad_by_hand() -> None:
    ids, mask = pad([[5, 6, 7], [8]], 9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    ids, mask = pad([[5, 6, 7], [8]], 9, side="left")
    assert ids.tolist() == [[5, 6, 7], [9, 9, 8]]
    assert mask.tolist() == [[1, 1, 1], [0, 0, 1]]


def test_truncate_keeps_an_end() -> None:
    assert truncate([1, 2, 3], 2) == [1, 2]
    assert truncate([1, 2, 3], 2, keep="end") == [2, 3]
    assert truncate([1, 2, 3], 5, keep="end") == [1, 2, 3]


def test_pack_by_hand() -> None:
    assert pack([[1, 2, 3], [4], [5, 6]], 4, separator=0).tolist() == [[1, 2, 3, 0], [4, 0, 5, 6]]


def test_windows_are_all_of_the_text() -> None:
    windows = Windows(torch.arange(6), 4)
    assert [window.tolist() for window in windows] == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]


@pytest.mark.parametrize("bucket_by", [None, lambda x: x % 7])
def test_every_example_comes_once_an_epoch_in_another_order(bucket_by: Any) -> None:
    loader = Loader(range(24), 4, numbers, bucket_by=bucket_by)
    epochs = [flat(take(loader, 6)) for _ in range(3)]
    assert all(sorted(epoch) == list(range(24)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert epochs[0] != list(range(24))


def test_without_shuffling_the_order_is_that_of_the_examples() -> None:
    assert take(Loader(range(7), 3, numbers, shuffle=False), 3) == [[0, 1, 2], [3, 4, 5], [0, 1, 2]]


def test_no_example_is_left_out_for_ever(seed: int) -> None:
    loader = Loader(range(11), 4, numbers, seed=seed, bucket_by=lambda x: x)
    seen = Counter(i for batch in take(loader, 2 * 60) for i in batch)
    # one of 11 is left out of an epoch with probability 3/11: out of all 60, (3/11)^60 < 1e-6 of 11
    assert set(seen) == set(range(11))


def test_a_batch_of_a_bucket_has_nearly_one_length(seed: int) -> None:
    lengths = torch.randint(1, 100, (400,), generator=torch.Generator().manual_seed(seed)).tolist()
    order = torch.randperm(400, generator=torch.Generator().manual_seed(seed)).tolist()
    arranged = bucket(order, lengths, 8, torch.Generator().manual_seed(seed))
    assert sorted(arranged) == list(range(400))
    batches = [[lengths[i] for i in arranged[at : at + 8]] for at in range(0, 400, 8)]
    assert sorted(batch[0] for batch in batches) != [batch[0] for batch in batches]  # long ones come at any time
    ordered = sorted(lengths)
    assert sorted(map(sorted, batches)) == sorted(ordered[at : at + 8] for at in range(0, 400, 8))


@pytest.mark.parametrize("n_before", [0, 1, 5, 17])
def test_a_loader_goes_on_where_another_stood(n_before: int, seed: int) -> None:
    def noisy(examples: list[int]) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor(examples) + torch.rand(len(examples))}

    one, other = (Loader(range(21), 4, noisy, seed=seed, bucket_by=lambda x: x % 5) for _ in range(2))
    take(one, n_before)
    other.load_state_dict(one.state_dict())
    torch.rand(3)  # other draws in between change nothing
    rest = take(one, 12)
    torch.manual_seed(1)
    assert take(other, 12) == rest


def test_what_a_collator_draws_differs_from_batch_to_batch_and_leaves_other_draws_alone() -> None:
    loader = Loader(range(8), 2, lambda rows: {"x": torch.rand(2)})
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    drawn = take(loader, 50)
    assert torch.equal(torch.rand(2), expected)
    assert len({tuple(batch) for batch in drawn}) == 50


def test_seeds_give_different_orders() -> None:
    orders = {tuple(flat(take(Loader(range(24), 4, numbers, seed=seed), 6))) for seed in range(20)}
    assert len(orders) == 20


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pad([], 0), r"at least one sequence, and each at least one token; got lengths \[\]"),
        (lambda: pad([[1], []], 0), r"got lengths \[1, 0\]"),
        (lambda: pad([[1]], 0, side="top"), "got 'top'"),
        (lambda: truncate([1], 0), "max_length must be at least 1; got 0"),
        (lambda: truncate([1], 1, keep="middle"), 'the "start" or the "end"; got \'middle\''),
        (lambda: pack([[1, 2]], 4, 0), "3 tokens with separators do not fill one row of 4"),
        (lambda: Windows(torch.arange(3), 4), r"windows of 4 tokens .* got \(3,\)"),
        (lambda: bucket(range(5), [1] * 5, 2, torch.Generator()), "5 examples make no whole batches of 2"),
        (lambda: Loader([1, 2], 0, numbers), "batch_size must be at least 1; got 0"),
        (lambda: Loader([1, 2], 3, numbers), "2 examples do not fill a batch of 3; lower batch_size"),
        (lambda: Loader([1], 1, numbers).load_state_dict({"seed": 4, "n_batches": 1, "n_examples": 1}), "seed=4"),
        (lambda: Loader([1], 1, numbers).load_state_dict({"seed": 0, "n_batches": 1, "n_examples": 2}), "examples=2"),
    ],
)
def test_bad_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_a_window_outside_the_text_is_named() -> None:
    with pytest.raises(IndexError, match=r"windows start at 0..2; got 3"):
        Windows(torch.arange(6), 4)[3]


def test_a_loader_leaves_the_generators_of_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    take(Loader(range(8), 2, numbers), 3)
    assert seeded == []


@pytest.mark.parametrize(
    ("changes", "name"), [({"batch_size": 8}, "batch_size=4"), ({"shuffle": False}, "shuffle=True")]
)
def test_a_state_of_a_loader_made_otherwise_is_refused(changes: dict[str, Any], name: str) -> None:
    given: dict[str, Any] = {"batch_size": 4, "collate": numbers}
    state = Loader(range(40), **given).state_dict()
    with pytest.raises(ValueError, match=name):
        Loader(range(40), **(given | changes)).load_state_dict(state)
