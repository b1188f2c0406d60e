"""Orders of demonstrations: which are tried, and what is measured of each."""

import math

import pytest
import torch

from lmlib.prompting import Demonstration, Prompt, Template, Verbaliser, order_sensitivity, orders

PROMPT = Prompt(
    Template("{text}: {answer}"),
    Verbaliser({"a": "A", "b": "B"}),
    [Demonstration({"text": str(i)}, "ab"[i % 2]) for i in range(3)],
)


def test_few_demonstrations_are_tried_in_every_order():
    assert sorted(orders(3)) == [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]


def test_of_many_orders_different_ones_are_drawn_from_the_seed():
    drawn = orders(8, limit=50, seed=1)
    assert len(set(drawn)) == 50
    assert all(sorted(order) == list(range(8)) for order in drawn)
    assert drawn == orders(8, limit=50, seed=1) != orders(8, limit=50, seed=2)


def by_first(prompt: Prompt) -> torch.Tensor:
    """A model that says what the last demonstration says, and is surer the higher its number."""
    last = prompt.demonstrations[-1]
    p = (0.75, 0.9, 0.5)[int(last.values["text"])]
    row = [p, 1 - p] if last.label == "a" else [1 - p, p]
    return torch.tensor([row] * 3 + [row[::-1]]).log()


def test_each_order_has_its_accuracy_and_its_entropies():
    found = order_sensitivity(by_first, PROMPT, ["a", "a", "a", "b"], [(2, 1, 0), (0, 2, 1)])
    assert found.orders == [(2, 1, 0), (0, 2, 1)]
    assert found.accuracy.tolist() == [1.0, 0.0]
    assert found.spread == 1.0
    bits = [-p * math.log2(p) - (1 - p) * math.log2(1 - p) for p in (0.75, 0.9)]
    assert found.mean_entropy.tolist() == pytest.approx(bits, abs=1e-6)
    assert found.label_entropy.tolist() == pytest.approx([-0.75 * math.log2(0.75) - 0.25 * math.log2(0.25)] * 2)


def test_without_a_choice_all_orders_are_tried():
    assert len(order_sensitivity(by_first, PROMPT, ["a", "a", "a", "b"]).orders) == 6


@pytest.mark.parametrize(("n", "limit"), [(0, 5), (3, 0)])
def test_no_demonstration_and_no_order_are_refused(n: int, limit: int):
    with pytest.raises(ValueError, match=f"are the least; got n={n}, limit={limit}"):
        orders(n, limit)
