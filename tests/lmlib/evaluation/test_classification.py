"""Accuracy, F1, spans and calibration against scikit-learn and seqeval on random cases."""

import random
import warnings

import pytest
import seqeval.metrics.sequence_labeling as seqeval
import sklearn.metrics
import torch
from sklearn.calibration import calibration_curve

from lmlib.evaluation.calibration import brier_score, expected_calibration_error, reliability
from lmlib.evaluation.classification import accuracy, class_scores, confusion_matrix, f1
from lmlib.evaluation.tagging import Span, span_f1, span_scores, spans


@pytest.fixture
def labels(seed: int) -> tuple[list[str], list[str]]:
    """Predicted and true labels; some label occurs on one side only, at times."""
    draw = random.Random(seed)
    n = draw.randint(1, 30)
    return [draw.choice("abcd") for _ in range(n)], [draw.choice("abce") for _ in range(n)]


def test_accuracy_and_f1_equal_those_of_scikit_learn(labels):
    predicted, true = labels
    assert accuracy(predicted, true) == pytest.approx(sklearn.metrics.accuracy_score(true, predicted))
    for average in ("micro", "macro"):
        reference = sklearn.metrics.f1_score(true, predicted, average=average, zero_division=0)
        assert f1(predicted, true, average) == pytest.approx(reference)


def test_scores_of_each_label_equal_those_of_scikit_learn(labels):
    predicted, true = labels
    ours = class_scores(predicted, true)
    reference = sklearn.metrics.precision_recall_fscore_support(true, predicted, zero_division=0)
    assert list(ours) == sorted({*predicted, *true})
    for i, scores in enumerate(ours.values()):
        expected = [column[i] for column in reference[:3]]
        assert [scores.precision, scores.recall, scores.f1] == pytest.approx(expected)


def test_the_confusion_matrix_equals_that_of_scikit_learn(labels):
    predicted, true = labels
    names, matrix = confusion_matrix(predicted, true)
    assert names == sorted({*predicted, *true})
    assert matrix.tolist() == sklearn.metrics.confusion_matrix(true, predicted).tolist()


def test_tensors_of_labels_are_taken():
    assert accuracy(torch.tensor([1, 2, 2]), torch.tensor([1, 2, 0])) == pytest.approx(2 / 3)


def random_tags(draw: random.Random, length: int) -> list[str]:
    """BIO tags, also such as continue nothing or another kind."""
    return [draw.choice(["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-A-B"]) for _ in range(length)]


def test_spans_equal_those_of_seqeval(seed: int):
    draw = random.Random(seed)
    for _ in range(50):
        tags = random_tags(draw, draw.randint(0, 12))
        reference = [Span(kind, start, last + 1) for kind, start, last in seqeval.get_entities(tags)]
        assert spans(tags) == reference


def test_span_f1_equals_that_of_seqeval(seed: int):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 12) for _ in range(20)]
    predicted, true = ([random_tags(draw, n) for n in lengths] for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns where a share of nothing is taken as 0
        for average in ("micro", "macro"):
            reference = seqeval.f1_score(true, predicted, average=average)
            assert span_f1(predicted, true, average) == pytest.approx(reference)
        reference = seqeval.precision_recall_fscore_support(true, predicted, average=None)
    for i, scores in enumerate(span_scores(predicted, true).values()):
        assert [scores.precision, scores.recall, scores.f1] == pytest.approx([column[i] for column in reference[:3]])


def test_a_span_with_one_wrong_end_is_no_hit():
    assert span_f1([["B-PER", "O"]], [["B-PER", "I-PER"]]) == 0
    assert span_f1([["B-PER", "I-PER"]], [["B-PER", "I-PER"]]) == 1


@pytest.fixture
def forecast(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.softmax(2 * torch.randn(200, 4, generator=generator, dtype=torch.float64), dim=-1)
    return probabilities, torch.randint(4, (200,), generator=generator)


def test_the_brier_score_equals_that_of_scikit_learn(forecast):
    probabilities, labels = forecast
    reference = sklearn.metrics.brier_score_loss(labels, probabilities, labels=[0, 1, 2, 3], scale_by_half=False)
    assert brier_score(probabilities, labels) == pytest.approx(reference)


def test_the_bins_equal_the_calibration_curve_of_scikit_learn(forecast):
    probabilities, labels = forecast
    bins = reliability(probabilities, labels, n_bins=8)
    confidence, predicted = probabilities.max(dim=-1)
    accuracy_of_bins, confidence_of_bins = calibration_curve(predicted == labels, confidence, n_bins=8)
    filled = bins.count > 0
    assert int(bins.count.sum()) == len(labels)
    assert bins.accuracy[filled].tolist() == pytest.approx(accuracy_of_bins.tolist())
    assert bins.confidence[filled].tolist() == pytest.approx(confidence_of_bins.tolist(), rel=1e-5)


def test_the_calibration_error_worked_by_hand():
    # Bins of width 1/2. Lower: sure 0.5, right: gap 0.5. Upper: sure 0.9 and 0.7, one right: gap |0.8 - 0.5| = 0.3.
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [0.2, 0.7, 0.1]])
    labels = torch.tensor([0, 0, 2])
    assert expected_calibration_error(probabilities, labels, n_bins=2) == pytest.approx(0.5 / 3 + 0.3 * 2 / 3, rel=1e-6)


def test_a_forecast_that_is_sure_and_right_has_no_error():
    probabilities = torch.eye(3)
    assert expected_calibration_error(probabilities, torch.arange(3)) == 0
    assert brier_score(probabilities, torch.arange(3)) == 0


HALVES = torch.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy([1], [1, 2]), "1 predictions were given for 2 true labels"),
        (lambda: f1([], []), "no example"),
        (lambda: f1([1], [1], "weighted"), "there is no average 'weighted'"),
        (lambda: accuracy([["a"]], [["a"]]), "use span_scores"),
        (lambda: spans(["B-PER", "PER"]), "got 'PER'"),
        (lambda: spans(["B"]), "got 'B'"),
        (lambda: span_f1([["O"]], [["O", "O"]]), "sentence 0 has 2 true tags and 1"),
        (lambda: span_f1([["O"]], []), "got 1 and 0"),
        (lambda: span_f1(["O"], ["O"]), "Put one sentence into a list"),
        (lambda: brier_score(torch.ones(2, 2), torch.zeros(2).long()), "apply softmax to logits first"),
        (lambda: brier_score(HALVES, torch.tensor([0, 2])), r"0\.\.1; got \[0, 2\]"),
        (lambda: brier_score(HALVES, torch.zeros(3).long()), r"got \(2, 2\) and \(3,\)"),
        (lambda: reliability(HALVES, torch.zeros(2).long(), n_bins=0), "n_bins must be at least 1"),
    ],
)
def test_wrong_input_is_refused_with_its_reason(call, message: str):
    with pytest.raises(ValueError, match=message):
        call()
