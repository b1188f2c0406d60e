"""The ladder of tiny Shakespeare, on a few lines that are learned in a few steps."""

import math

import pytest
import torch

from tests.learning import __main__ as learning
from tests.learning.shakespeare import CONTEXT, ladder, trained_loss, validation_loss

LINES = "to be or not to be that is the question whether tis nobler in the mind to suffer the slings and arrows "


def texts() -> tuple[torch.Tensor, torch.Tensor, int]:
    characters = sorted(set(LINES))
    ids = torch.tensor([characters.index(character) for character in LINES * 6])
    return ids, ids[: 3 * CONTEXT + 1], len(characters)


def test_every_rung_trains_and_the_last_learns_faster_than_the_first() -> None:
    losses = [trained_loss(rung, 0, texts()) for rung in ladder(steps=25)]
    assert max(losses) < math.log(texts()[2])  # better than any guess
    assert losses[-1] < losses[0] - 0.5


def test_each_rung_has_nanogpts_size_but_for_what_is_new() -> None:
    sizes = [sum(p.numel() for p in rung.model(65).parameters()) for rung in ladder()]
    assert all(0.78e6 < size < 0.83e6 for size in sizes), sizes


def test_validation_loss_counts_every_character_of_every_window_once() -> None:
    _, test_ids, vocab_size = texts()
    model = ladder()[0].model(vocab_size).eval()
    ids = test_ids[: 2 * CONTEXT + 5]  # four characters fill no window
    log_p = [model(input_ids=ids[None, at : at + CONTEXT]).logits[0].log_softmax(-1) for at in (0, CONTEXT)]
    expected = -torch.cat(log_p)[torch.arange(2 * CONTEXT), ids[1 : 2 * CONTEXT + 1]].mean()
    assert validation_loss(model, ids) == pytest.approx(expected.item(), rel=1e-5)


def test_the_command_lists_its_tables_and_names_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "shakespeare" in learning.names()
    assert learning.main(["milton"]) == 2
    printed = capsys.readouterr()
    assert "there is no table 'milton'" in printed.err
    assert "shakespeare" in printed.out
