"""Linear probes: the optimum of scikit-learn, and control tasks that tell knowledge from memory."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from lmlib.interpret import probes as module
from lmlib.interpret.probes import LinearProbe, ProbeResult, control_labels, fit_probe, probe_layers


def drawn(seed: int, n: int = 200, width: int = 5, n_classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy states from which the labels can be read in part."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n, width))
    labels = (states @ rng.normal(size=(width, n_classes)) + rng.normal(size=(n, n_classes))).argmax(1)
    return torch.tensor(states), torch.tensor(labels)


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_the_probe_is_that_of_scikit_learn(size: float, seed: int) -> None:
    states, labels = drawn(seed)
    probe = fit_probe(states * size, labels, 3, penalty=0.01)
    scaled = (states / states.square().mean().sqrt()).numpy()
    reference = LogisticRegression(C=1 / (0.01 * len(labels)), tol=1e-10, max_iter=10_000).fit(scaled, labels)
    expected = torch.tensor(reference.predict_log_proba(scaled))
    torch.testing.assert_close(probe.logits(states * size).log_softmax(-1), expected, atol=1e-3, rtol=0)
    assert probe.accuracy(states * size, labels) == pytest.approx(reference.score(scaled, labels), abs=0.011)


def test_the_probe_is_a_minimum_in_every_direction(seed: int) -> None:
    states, labels = drawn(seed)
    states = states / states.square().mean().sqrt()
    probe = fit_probe(states, labels, 3, penalty=0.01)

    def objective(weight: torch.Tensor) -> float:
        logits = states @ weight.T + probe.bias
        return float(torch.nn.functional.cross_entropy(logits, labels) + 0.005 * weight.square().sum())

    generator = torch.Generator().manual_seed(seed)
    for _ in range(20):
        step = 1e-2 * torch.randn(probe.weight.shape, generator=generator, dtype=torch.double)
        assert objective(probe.weight + step) > objective(probe.weight)


def test_the_same_data_give_the_same_probe(seed: int) -> None:
    states, labels = drawn(seed)
    one, other = fit_probe(states, labels, 3), fit_probe(states, labels, 3)
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.bias, other.bias)


def test_accuracy_by_hand() -> None:
    probe = LinearProbe(torch.tensor([[1.0], [-1.0]], dtype=torch.double), torch.tensor([0.0, 1.0]).double())
    states = torch.tensor([[2.0], [0.4], [0.6], [-1.0]])  # class 0 above 1/2
    assert probe.accuracy(states, torch.tensor([0, 1, 1, 1])) == 0.75


def test_control_labels_belong_to_words_and_come_as_often_as_the_labels(seed: int) -> None:
    words = [f"word{i % 2000}" for i in range(4000)]
    labels = torch.tensor([int(i % 10 == 0) for i in range(4000)])
    control = control_labels(words, labels, seed)
    assert torch.equal(control[:2000], control[2000:])
    # 2000 draws with probability 0.1; 5 standard deviations: alpha 1e-6
    assert abs(int(control[:2000].sum()) - 200) < 5 * (2000 * 0.1 * 0.9) ** 0.5
    assert torch.equal(control, control_labels(words, labels, seed))
    assert not torch.equal(control, control_labels(words, labels, seed + 1))


def test_states_that_only_name_the_word_are_not_selective_and_those_that_hold_the_label_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_words, n = 60, 1200
    word_ids = torch.tensor(rng.integers(0, n_words, n))
    labels = word_ids % 3  # each word has one label
    is_train = torch.arange(n) < 900
    names = torch.nn.functional.one_hot(word_ids, n_words).double()
    meaning = torch.nn.functional.one_hot(labels, 3).double()
    by_name, by_meaning = probe_layers([names, meaning], word_ids.tolist(), labels, is_train, seed=seed)
    assert by_name.accuracy == by_meaning.accuracy == 1.0
    assert by_name.control == 1.0
    assert by_meaning.control < 0.7  # three states cannot tell 60 words apart
    assert by_name.selectivity == 0.0
    assert by_meaning.selectivity == 1.0 - by_meaning.control


def test_words_that_training_never_shows_are_left_out_of_the_test() -> None:
    states = torch.tensor([[1.0], [-1.0], [1.0], [5.0]])
    labels = torch.tensor([1, 0, 1, 0])  # the last word is new and would be wrong
    (result,) = probe_layers([states], ["a", "b", "a", "new"], labels, torch.tensor([True, True, False, False]))
    assert result == ProbeResult(1.0, result.control, 0.0)


def test_bad_input_is_named(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    states, labels = drawn(seed)
    with pytest.raises(ValueError, match=r"states \(N, C\) and int64 labels \(N,\).*got \(200, 5\) and torch.int64"):
        fit_probe(states, labels[:-1], 3)
    with pytest.raises(ValueError, match=r"labels must lie in 0..1; got 0..2"):
        fit_probe(states, labels, 2)
    with pytest.raises(ValueError, match="penalty must be above 0"):
        fit_probe(states, labels, 3, penalty=0)
    monkeypatch.setattr(module, "MAX_STEPS", 1)
    with pytest.raises(ValueError, match=r"did not settle \(a slope of .* is left\); give a higher penalty"):
        fit_probe(states, labels, 3)
    with pytest.raises(ValueError, match="got 1 words and 200 labels"):
        control_labels(["a"], labels)
    with pytest.raises(ValueError, match=r"is_train must be bool \(N,\).*got torch.int64 \(200,\)"):
        probe_layers([states], [0] * 200, labels, (torch.arange(200) < 100).long())
    with pytest.raises(ValueError, match="none of the same words to test on"):
        probe_layers([states], list(range(200)), labels, torch.arange(200) < 100)
