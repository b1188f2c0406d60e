"""A class with state is used step by step: what is compared is what a person would see who takes the same steps."""

import pytest
import torch

from lmlib.course.steps import call, do, load, new, read, refuses, results_of, steps, use


class Counter:
    shared: list = []  # noqa: RUF012 – a student's slip

    def __init__(self, start=0):
        self.n, self.seen = start, []

    def add(self, k):
        if k < 0:
            raise ValueError(k)
        self.n += k
        self.seen.append(k)
        self.shared.append(k)
        return self.n

    def unwritten(self):
        raise NotImplementedError


class Linear(torch.nn.Module):
    def __init__(self, n):
        super().__init__()
        self.part = torch.nn.Linear(n, n, bias=False)

    def forward(self, x):
        return self.part(x)


def test_results_come_in_order_with_their_names_and_are_not_changed_by_later_steps():
    row = steps(new(start=2), call("add", k=3), read("seen"), do("add", k=5), read("n"), read("seen"))
    assert use(Counter, row).value == [5, [3], 10, [3, 5]]
    assert results_of(row) == ["`add(k=3)`", "`seen`", "`n`", "`seen`"]


def test_each_new_object_begins_afresh():
    assert use(Counter, steps(new(), do("add", k=3), new(start=1), read("n"), read("seen"))).value == [1, []]


def test_what_a_case_leaves_in_the_class_is_not_there_in_the_next():
    row = steps(new(), do("add", k=3), read("shared"))
    assert use(Counter, row).value == use(Counter, row).value == [[3]]


def test_a_refusal_is_a_result_and_any_other_exception_ends_the_case_with_the_step_named():
    tries = steps(new(), refuses("add", k=-1), refuses("add", k=1), read("n"))
    assert use(Counter, tries).value == ["ValueError is raised", "nothing is raised", 1]
    outcome = use(Counter, steps(new(), read("n"), call("add", k=-1), read("n")))
    assert outcome.raised == "ValueError"
    assert outcome.sentence.startswith("`add(k=-1)`: ValueError: -1; in line ")
    assert use(Counter, steps(new(), refuses("unwritten"))).raised == "NotImplementedError"


@pytest.mark.parametrize(
    ("made", "step", "sentence"),
    [
        (5, read("n"), "expected a class; got int"),
        (Counter, read("m"), "has no attribute 'm'"),
        (Counter, load({"weight": torch.ones(1)}), "must be a torch.nn.Module"),
        (Linear, load({"weight": torch.ones(1)}), "its parameters are part.weight; expected weight"),
        (Linear, load({"part.weight": torch.ones(3)}), "part.weight has shape (2, 2); expected (3,)"),
    ],
)
def test_a_step_that_cannot_be_taken_says_why(made, step, sentence):
    first = new(n=2) if made is Linear else new()
    assert sentence in use(made, steps(first, step)).sentence


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_computes_with_the_weights_and_in_the_dtype_of_the_check(dtype):
    weight, x = torch.tensor([[1, 2], [3, 4]], dtype=dtype), torch.tensor([5, 6], dtype=dtype)
    row = steps(new(n=2), load({"part.weight": weight}), call("__call__", x=x), read("part.weight"))
    output, kept = use(Linear, row).value
    assert output.equal(torch.tensor([17, 39], dtype=dtype))
    assert kept.equal(weight)
    assert not output.requires_grad


def test_a_new_modules_numbers_are_the_same_every_time_and_the_generator_goes_on_where_it_was():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, second = (use(Linear, steps(new(n=2), read("part.weight"))).value[0] for _ in range(2))
    assert first.equal(second)
    assert torch.rand(3).equal(expected)
