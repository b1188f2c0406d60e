"""DPO: answers alone are scored, the loss is the paper's, and its gradient raises what was chosen."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lmlib.finetuning.dpo import (
    PreferenceLoss,
    answer_log_probabilities,
    dpo_loss,
    margins,
    preference_collator,
    share_preferred,
)
from lmlib.finetuning.instructions import Example, collator
from lmlib.finetuning.lora import LoraConfig, add_adapters, lora_layers
from lmlib.training import TrainingConfig, train
from lmlib.training.parallel import SharedBatches
from tests.lmlib.finetuning.families import VOCAB, build

BETA = 0.3


def preferences(seed: int, n: int = 3) -> dict[str, torch.Tensor]:
    """A batch of n pairs with prompts and answers of different lengths."""
    draw = np.random.default_rng(seed)

    def answered(prompt: list[int]) -> Example:
        answer = draw.integers(3, VOCAB, draw.integers(1, 5)).tolist()
        return Example([*prompt, *answer], [-100] * len(prompt) + answer)

    prompts = [draw.integers(3, VOCAB, draw.integers(1, 5)).tolist() for _ in range(n)]
    return preference_collator(collator(0))([(answered(prompt), answered(prompt)) for prompt in prompts])


def by_hand(model, batch: dict[str, torch.Tensor]) -> np.ndarray:
    """The sums of ln P over answer tokens in float64, one row and one token after the other."""
    with torch.no_grad():
        logits = model(batch["input_ids"], batch["attention_mask"]).logits.double().numpy()
    sums = []
    for row, labels in zip(logits, batch["labels"].tolist(), strict=True):
        total = 0.0
        for t, label in enumerate(labels):
            if label != -100:
                total += row[t - 1, label] - math.log(np.exp(row[t - 1]).sum())
        sums.append(total)
    return np.array(sums)


@pytest.mark.parametrize("model_type", ["gpt2", "llama", "recurrent"])
def test_answers_are_scored_as_by_hand(model_type: str, seed: int):
    model, batch = build(model_type, seed), preferences(seed)
    with torch.no_grad():
        np.testing.assert_allclose(answer_log_probabilities(model, batch), by_hand(model, batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("model_type", ["t5", "bart", "transformer"])
@torch.no_grad()
def test_an_encoder_decoder_scores_its_target(model_type: str, seed: int):
    """One row a batch: the sum is minus the model's mean loss times the number of labels."""
    model, batch = build(model_type, seed), preferences(seed)
    batch["labels"] = batch["labels"].masked_fill(torch.arange(batch["labels"].size(1)) == 0, 5)
    scored = answer_log_probabilities(model, batch)
    for i, labels in enumerate(batch["labels"]):
        one = {name: tensor[i : i + 1] for name, tensor in batch.items()}
        expected = -model(**one).loss * (labels != -100).sum()
        torch.testing.assert_close(scored[i], expected, rtol=1e-4, atol=1e-4)


def test_the_loss_is_that_of_the_paper_in_float64(seed: int):
    tuned, reference, batch = build("gpt2", seed), build("gpt2", seed + 1), preferences(seed)
    rewards = by_hand(tuned, batch) - by_hand(reference, batch)
    expected = np.mean(np.log1p(np.exp(-BETA * (rewards[0::2] - rewards[1::2]))))
    assert PreferenceLoss(BETA, reference)(tuned, batch).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_equal_answers_and_an_untuned_model_give_ln_2(seed: int):
    model, batch = build("gpt2", seed), preferences(seed)
    assert PreferenceLoss(BETA, copy.deepcopy(model))(model, batch).item() == pytest.approx(math.log(2), abs=1e-6)
    same = {name: tensor[0::2].repeat_interleave(2, 0) for name, tensor in batch.items()}
    assert PreferenceLoss(BETA, build("gpt2", seed + 1))(model, same).item() == pytest.approx(math.log(2), abs=1e-6)
    assert share_preferred(model, [same]) == 0.5


def test_the_gradient_raises_the_chosen_and_lowers_the_rejected_answer(seed: int):
    tuned = torch.randn(8, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    reference = torch.randn(8, generator=torch.Generator().manual_seed(seed + 1))
    dpo_loss(tuned, reference, BETA).backward()
    gradient = tuned.grad
    assert gradient is not None
    assert (gradient[0::2] < 0).all()
    assert torch.equal(gradient[0::2], -gradient[1::2])
    weight = torch.sigmoid(-BETA * margins(tuned.detach() - reference))  # equation after 7: how wrong the rewards are
    torch.testing.assert_close(gradient[1::2], BETA * weight / 4)


def test_more_padding_changes_no_score(seed: int):
    model, batch = build("llama", seed), preferences(seed)
    fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    longer = {name: F.pad(tensor, (0, 2), value=fill[name]) for name, tensor in batch.items()}
    scored, again = (answer_log_probabilities(model, given) for given in (batch, longer))
    torch.testing.assert_close(again, scored, rtol=1e-5, atol=1e-5)


def test_with_lora_the_reference_is_the_model_with_adapters_off(seed: int):
    model, batch = build("gpt2", seed, dropout=0.2), preferences(seed)
    reference = copy.deepcopy(model)
    add_adapters(model, LoraConfig(3))
    with torch.no_grad():
        for layer in lora_layers(model).values():
            for adapter in layer.all_adapters():
                adapter.B.normal_(std=0.3)
    apart, within = PreferenceLoss(BETA, reference), PreferenceLoss(BETA)
    assert within(model, batch).item() == pytest.approx(apart(model, batch).item(), rel=1e-6)
    model.train()
    first, second = (within.reference_log_probabilities(model, batch) for _ in range(2))
    assert torch.equal(first, second)  # no dropout in the reference
    assert model.training
    within(model, batch).backward()
    assert all((p.grad is not None) == (".adapters." in name) for name, p in model.named_parameters())


def test_a_few_steps_prefer_the_chosen_answers_and_leave_the_reference(seed: int):
    model, batch = build("gpt2", seed), preferences(seed)
    reference = build("gpt2", seed)
    before = copy.deepcopy(reference.state_dict())
    loss, optimizer = PreferenceLoss(BETA, reference), torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        loss(model, batch).backward()
        optimizer.step()
    assert loss(model, batch).item() < 0.5
    assert (margins(answer_log_probabilities(model, batch) - answer_log_probabilities(reference, batch)) > 0).all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in reference.state_dict().items())
    assert not any(parameter.requires_grad for parameter in reference.parameters())


def test_share_preferred_counts_pairs_over_batches(seed: int):
    model = build("gpt2", seed)
    batches = [preferences(seed), preferences(seed + 1)]
    scored = np.concatenate([by_hand(model, batch) for batch in batches])
    signs = np.sign(np.round(scored[0::2] - scored[1::2], 5))
    expected = np.mean((1 + signs) / 2)  # two equal answers, which are drawn at times, count half
    assert share_preferred(model, batches) == pytest.approx(expected)


def test_wrong_use_is_refused_with_a_reason(seed: int):
    model, batch = build("gpt2", seed), preferences(seed)
    with pytest.raises(ValueError, match="beta must be above 0; got 0"):
        PreferenceLoss(0.0)
    with pytest.raises(ValueError, match="give a copy of it"):
        PreferenceLoss(BETA, model)(model, batch)
    with pytest.raises(ValueError, match="has no adapters"):
        PreferenceLoss(BETA)(model, batch)
    with pytest.raises(ValueError, match=r"an even number of rows, of each pair the chosen one first; got \(3,\)"):
        margins(torch.zeros(3))
    with pytest.raises(ValueError, match="there is no batch of preferences"):
        share_preferred(model, [])


def test_processes_that_share_a_batch_have_whole_pairs(seed: int):
    tuned, batch, loss = build("gpt2", seed), preferences(seed, n=4), PreferenceLoss(BETA, build("gpt2", seed + 1))
    shares = [next(iter(SharedBatches([batch], rank, 2))) for rank in range(2)]
    mean = sum(loss(tuned, share).item() for share in shares) / 2
    assert mean == pytest.approx(loss(tuned, batch).item(), rel=1e-5)


def test_accumulation_weighs_pairs_alike_however_long_their_answers(seed: int):
    tuned, loss = build("llama", seed), PreferenceLoss(BETA, build("llama", seed + 1))  # no dropout
    parts = [preferences(seed), preferences(seed + 9)]
    expected = sum(loss(tuned, part).item() for part in parts) / 2
    run = TrainingConfig(1, accumulation=2, device="cpu")
    assert train(tuned, itertools.cycle(parts), run, loss=loss).losses == pytest.approx([expected], rel=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_go_where_the_model_is(seed: int):
    model, batches = build("gpt2", seed), [preferences(seed)]
    assert share_preferred(model, batches) == share_preferred(model.cuda(), batches)
