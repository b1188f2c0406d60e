"""The loop against a hand-written one, the large batch that accumulation stands for, and what it refuses."""

import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lmlib.models.bert import Bert, BertConfig
from lmlib.training import Log, TrainingConfig, TrainingError, model_loss, real_labels, train
from lmlib.training.loop import add_gradients, evaluated, weights_of
from lmlib.training.one_process import OneProcess
from lmlib.training.progress import is_watched
from lmlib.training.random_state import load_random_state, random_state, set_seed
from lmlib.training.schedules import rate_at
from tests.lmlib.training.tiny import VOCAB, config, counting_texts, padded, tiny_loader, tiny_model


def test_the_loop_equals_one_written_by_hand() -> None:
    run = config(6, warmup_steps=2, weight_decay=0.0, clip=0.05)
    log = train(ours := tiny_model(dropout=0.0), tiny_loader(), run)
    by_hand, losses = tiny_model(dropout=0.0), []
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=run.learning_rate, betas=run.betas, weight_decay=0.0)
    for step, batch in enumerate(itertools.islice(tiny_loader(), 6)):
        optimizer.param_groups[0]["lr"] = run.learning_rate * rate_at(step, "cosine", 6, 2)
        loss = by_hand(**batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(by_hand.parameters(), 0.05)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert log.losses == pytest.approx(losses, rel=1e-5)
    for p, q in zip(ours.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_model_learns_to_count(optimizer: str) -> None:
    log = train(tiny_model(dropout=0.0), tiny_loader(), config(60, optimizer=optimizer, warmup_steps=5))
    assert log.losses[0] == pytest.approx(math.log(VOCAB), abs=0.1)
    assert log.losses[-1] < 0.3


ALONE = OneProcess(torch.device("cpu"))


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("head", ["language_model", "classification", "masked_lm"])
def test_accumulation_equals_the_large_batch_with_unequal_padding(head: str) -> None:
    texts = counting_texts()[:7]
    groups = [texts[:1], texts[1:5], texts[5:]]
    model, batch_of = model_and_collator(head)
    alone = model_loss(model, batch_of(texts))
    alone.backward()
    expected = gradients(model)
    model.zero_grad()
    parts = [batch_of(group) for group in groups]
    weights = weights_of(parts, lambda part: real_labels(model, part), ALONE)
    assert len({round(weight, 6) for weight in weights}) == 3
    value = add_gradients(ALONE.objective(model, model_loss), parts, weights, "float32")
    assert value == pytest.approx(alone.item(), rel=1e-6)
    for ours, reference in zip(gradients(model), expected, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-7)


def model_and_collator(head: str) -> tuple[nn.Module, Any]:
    """A model whose labels are the next token, one a text, or the token itself; and its batches."""
    if head == "language_model":
        return tiny_model(dropout=0.0), padded
    sizes: dict[str, Any] = {"d_model": 8, "n_layers": 1, "n_heads": 2, "d_ff": 12, "max_positions": 12}
    set_seed(0)
    bert = Bert(BertConfig(vocab_size=VOCAB, dropout=0.0, attention_dropout=0.0, n_labels=3, **sizes), head)

    def batch_of(texts: list[list[int]]) -> dict[str, Tensor]:
        batch = padded(texts)
        if head == "classification":
            batch["labels"] = torch.tensor([len(text) % 3 for text in texts])
        return batch

    return bert, batch_of


def test_a_run_with_accumulation_takes_the_steps_of_the_large_batch() -> None:
    run = config(5, weight_decay=0.0)
    one, many = tiny_model(dropout=0.0).double(), tiny_model(dropout=0.0).double()  # AdamW enlarges what float32 rounds
    log = train(one, tiny_loader(batch_size=4, shuffle=False), run)
    again = train(many, tiny_loader(batch_size=2, shuffle=False), replace(run, accumulation=2))
    assert again.losses == pytest.approx(log.losses, rel=1e-6)
    for p, q in zip(one.parameters(), many.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_clipping_scales_all_gradients_by_one_factor() -> None:
    model = tiny_model()
    model_loss(model, next(tiny_loader())).backward()
    before = gradients(model)
    norm = math.sqrt(sum(float(g.double().square().sum()) for g in before))
    assert float(ALONE.clip_gradients(model, None)) == pytest.approx(norm, rel=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(gradients(model), before, strict=True))
    assert float(ALONE.clip_gradients(model, norm / 4)) == pytest.approx(norm, rel=1e-5)
    for a, b in zip(gradients(model), before, strict=True):
        torch.testing.assert_close(a, b / 4)


def test_the_same_seed_gives_the_same_run_and_another_gives_another() -> None:
    runs = [train(tiny_model(), tiny_loader(), config(4, seed=seed)).losses for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]  # other units drop out


def test_evaluating_cannot_change_a_run() -> None:
    def evaluate(model: nn.Module) -> dict[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        return {"drawn": float(torch.rand(())) + np.random.rand()}  # noqa: NPY002

    plain = train(tiny_model(), tiny_loader(), config(5))
    watched = train(tiny_model(), tiny_loader(), config(5, evaluate_every=2), evaluate=evaluate)
    assert watched.losses == plain.losses
    assert [step for step, _ in watched.evaluations] == [2, 4, 5]


def test_a_trained_model_is_left_in_evaluation_mode_and_frozen_parameters_stay() -> None:
    model = tiny_model()
    model.word.weight.requires_grad_(False)
    before = model.word.weight.clone()
    train(model, tiny_loader(), config(2))
    assert not model.training
    assert torch.equal(model.word.weight, before)


def test_bfloat16_multiplies_in_that_type_and_keeps_weights_in_float32() -> None:
    seen = []
    model = tiny_model(dropout=0.0)
    model.decoder.blocks[0].feed_forward.inner.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    half = train(model, tiny_loader(), config(8, precision="bfloat16"))
    full = train(tiny_model(dropout=0.0), tiny_loader(), config(8))
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert half.losses == pytest.approx(full.losses, rel=0.02)
    assert half.losses != full.losses


@pytest.mark.long
def test_a_compiled_model_takes_the_same_steps() -> None:
    loader = tiny_loader(shuffle=False)
    same_length = [next(loader) for _ in range(3)]

    def batches() -> Iterator[dict[str, Tensor]]:
        return itertools.cycle(same_length)

    plain = train(tiny_model(dropout=0.0), batches(), config(4, accumulation=2))
    compiled = train(tiny_model(dropout=0.0), batches(), config(4, accumulation=2, compile=True))
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-4)


def test_a_loss_of_ones_own_and_its_count() -> None:
    def squares(model: Any, batch: dict[str, Tensor]) -> Tensor:
        return model(batch["x"]).square().mean()

    model = nn.Linear(3, 1)
    batches = itertools.cycle([{"x": torch.ones(2, 3)}, {"x": torch.zeros(5, 3)}])
    expected = (2 * squares(model, {"x": torch.ones(2, 3)}) + 5 * squares(model, {"x": torch.zeros(5, 3)})) / 7
    log = train(model, batches, config(1, accumulation=2), loss=squares, count=lambda _, batch: len(batch["x"]))
    assert log.losses == pytest.approx([expected.item()])


def test_a_loss_that_is_not_finite_stops_the_run_at_its_step() -> None:
    class Breaks(nn.Module):
        def __init__(self, bad: str) -> None:
            super().__init__()
            self.x, self.calls, self.bad = nn.Parameter(torch.ones(1)), 0, bad

        def forward(self, **batch: Tensor) -> Any:
            self.calls += 1
            broken = self.x.sum() * math.nan if self.bad == "loss" else (self.x - self.x.detach()).sqrt().sum()
            return type("Output", (), {"loss": self.x.sum() if self.calls < 4 else broken})

    for bad, value in (("loss", "nan"), ("norm of the gradients", "(inf|nan)")):
        model = Breaks(bad)
        with pytest.raises(TrainingError, match=f"at step 3 the {bad} is {value}. Lower the learning rate"):
            train(model, itertools.repeat({"x": torch.ones(1)}), config(9))
        assert torch.isfinite(model.x).all()  # the weights are those of the last good step


@pytest.mark.parametrize(
    ("batches", "changes", "error", "message"),
    [
        ([{"input_ids": torch.ones(1, 3).long()}], {}, ValueError, "no loss for a batch of input_ids; does it need"),
        ([torch.ones(1, 3).long()], {}, ValueError, "a batch is a dict of tensors .* got Tensor"),
        ([], {}, TrainingError, "the batches ended at step 0; a lmlib.data.batching.Loader never does"),
        ([{"input_ids": torch.ones(1, 3)}] * 2, {"accumulation": 2}, ValueError, "this one has input_ids: give count="),
        ([], {"device": "cuda:97"}, ValueError, "the device 'cuda:97' is not there; torch can use"),
    ],
)
def test_what_cannot_be_trained_on_is_named(
    batches: list[Any], changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        train(tiny_model(), batches, config(3, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "sgd"}, "there is no optimizer 'sgd'; there are: adamw, muon"),
        ({"precision": "float16"}, "there is no precision 'float16'; there are: float32, bfloat16"),
        ({"schedule": "step"}, "there is no schedule 'step'; there are: constant, linear, cosine"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"accumulation": 0}, "accumulation must be at least 1; got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0; got 0.0"),
        ({"clip": -1.0}, "clip must be above 0; got -1.0"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative"),
        ({"final_rate": 2.0}, "final_rate is a share of the learning rate, 0..1; got 2.0"),
        ({"warmup_steps": 4}, r"warmup_steps must lie in 0..3, the steps of the run; got 4"),
        ({"checkpoint_every": 2}, "checkpoint_every needs a folder"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**({"steps": 3} | changes))


def test_random_states_come_back() -> None:
    import random

    def draw() -> tuple[float, float, float, float]:
        normal = np.random.standard_normal()  # noqa: NPY002 - draws two, keeps one
        return random.random(), float(torch.rand(())), normal, random.gauss(0, 1)

    set_seed(3)
    draw()
    kept = random_state()
    first = [draw() for _ in range(3)]
    load_random_state(kept)
    assert [draw() for _ in range(3)] == first
    set_seed(3)
    before = draw()
    set_seed(3)
    assert draw() == before


def test_evaluated_gives_plain_numbers() -> None:
    model = tiny_model()
    values = evaluated(model, lambda model: {"loss": model_loss(model, next(tiny_loader()))})
    assert isinstance(values["loss"], float)
    assert model.training


def test_a_bar_is_for_a_person_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert is_watched()
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert not is_watched()
    monkeypatch.delenv("TQDM_DISABLE")
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # a notebook that papermill runs
    assert not is_watched()
    monkeypatch.setenv("JPY_SESSION_NAME", "a.ipynb")  # one that a person opened
    assert is_watched()


def test_a_log_says_and_draws_what_happened() -> None:
    log = Log()
    with pytest.raises(ValueError, match="no step yet; train first"):
        log.plot()
    for step in range(1000):
        log.record(4 - step / 500, 1e-3, 1.0 + step % 2)
    log.evaluations = [(500, {"validation": 3.5}), (1000, {"validation": 2.5})]
    assert log.evaluation("validation") == ([500, 1000], [3.5, 2.5])
    with pytest.raises(ValueError, match="nothing named 'test' was evaluated; there are: validation"):
        log.evaluation("test")
    assert log.describe() == (
        "Training loss over 1000 steps, from 4.000 to 2.002; at the end validation 2.500. "
        "The learning rate was 0.001 at its highest, the largest gradient norm 2."
    )
    loss, rate, norm = log.plot().axes
    curve, points = loss.lines
    assert len(curve.get_xdata()) == 200
    assert curve.get_xdata()[0] == 3  # the middle of steps 1..5
    assert curve.get_ydata()[0] == pytest.approx(4 - 2 / 500)
    assert list(points.get_xdata()) == [500, 1000]
    assert [ax.get_xlabel() for ax in (loss, rate, norm)] == ["step"] * 3
    assert norm.lines[0].get_ydata()[0] == pytest.approx(1.4)


def test_importing_the_rooms_below_needs_no_training() -> None:
    program = "import lmlib.data.batching, lmlib.models.gpt2, sys; print([m for m in sys.modules if 'training' in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "lmlib.training" not in done.stdout


def test_parts_without_a_label_are_named() -> None:
    empty = {"input_ids": torch.ones(1, 3).long(), "labels": torch.full((1, 3), -100)}
    for parts in ([empty, empty], [next(tiny_loader()), empty]):
        with pytest.raises(ValueError, match="has no label to learn from"):
            train(tiny_model(), parts, config(1, accumulation=2))


def test_a_state_of_more_gpus_than_there_are_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, gpu: given.append(gpu))
    load_random_state(random_state() | {"cuda": [torch.zeros(16, dtype=torch.uint8)] * 2})
    assert given == [0]
