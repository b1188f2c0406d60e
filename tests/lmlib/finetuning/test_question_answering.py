"""Answers as spans: windows lose no answer, spans and thresholds are the best there are, and it is learned."""

import random

import numpy as np
import pytest
import torch
from transformers import BertForQuestionAnswering

from lmlib.data.batching import Loader
from lmlib.data.tasks.question_answering import Answer as Reference
from lmlib.data.tasks.question_answering import Question
from lmlib.evaluation.question_answering import squad_f1
from lmlib.finetuning.question_answering import (
    Answer,
    Collator,
    Window,
    best_spans,
    choose,
    evaluate,
    n_best,
    predict,
    scores,
    training_windows,
    tune_threshold,
)
from lmlib.text.offsets import Piece, pieces
from tests.lmlib.finetuning import tiny


def asked(rng: random.Random, n_words: int = 30, n_answer: int = 2) -> Question:
    """A question whose answer is some words of the context."""
    words = tiny.sentence(rng, n_words)
    first = rng.randrange(n_words - n_answer + 1)
    start = len(" ".join(words[:first])) + (first > 0)
    text = " ".join(words[first : first + n_answer])
    return Question("1", "who met ann?", " ".join(words), (Reference(text, start),))


@pytest.fixture
def collator() -> Collator:
    return Collator(tiny.tokenizer(), max_length=32, stride=8, max_question=8)


def test_windows_lose_no_token_and_no_answer(collator, seed):
    rng = random.Random(seed)
    for _ in range(50):
        question = asked(rng, rng.randint(2, 60), n_answer=rng.randint(1, 2))
        windows = collator.windows(question)
        assert all(len(window.ids) <= 32 for window in windows)
        context = pieces(collator.tokenizer, question.context)
        assert {piece for window in windows for piece in window.pieces} == set(context)
        reference = question.answers[0]
        for window in windows:
            first, last = window.labels
            if (first, last) != (0, 0):
                stretch = window.pieces[first - window.context_from : last - window.context_from + 1]
                assert question.context[stretch[0].start : stretch[-1].end] == reference.text
        # room for 24 tokens of the context at least, 8 of them new in each window: 17 always fit whole
        n_tokens = sum(
            piece.start < reference.start + len(reference.text) and piece.end > reference.start for piece in context
        )
        assert n_tokens > 17 or any(window.labels != (0, 0) for window in windows)


def test_a_window_without_the_whole_answer_points_at_cls(collator):
    question = Question("1", "who?", "ann " * 40 + "bob", (Reference("bob", 160),))
    labels = [window.labels for window in collator.windows(question)]
    assert set(labels[:-1]) == {(0, 0)}
    first, last = labels[-1]
    assert first == last
    assert collator.tokenizer.tokens([collator.windows(question)[-1].ids[first]]) == ["bob"]


def test_a_question_without_an_answer_and_an_empty_context_point_at_cls(collator):
    assert [window.labels for window in collator.windows(Question("1", "who?", "ann", ()))] == [(0, 0)]
    (window,) = collator.windows(Question("1", "who?", "", ()))
    assert window.pieces == []
    (answers,) = n_best(tiny.model("span", 2), collator, [Question("1", "who?", "", ())])
    assert [answer.text for answer in answers] == [""]
    assert choose(answers) == ""


def test_a_batch_has_types_and_padding(collator):
    questions = [Question("1", "who?", "ann", ()), Question("2", "who met bob?", "the cat", ())]
    batch = collator(training_windows(collator, questions))
    rows = zip(batch["token_type_ids"].tolist(), batch["attention_mask"].sum(1).tolist(), strict=True)
    assert [row[:length] for row, length in rows] == [[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1, 1]]
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 9)


def test_a_long_question_is_cut(collator):
    (window,) = collator.windows(Question("1", "who " * 30, "ann", ()))
    assert window.context_from == 1 + 8 + 1


@pytest.mark.parametrize("stride", [0, 22])
def test_a_stride_that_skips_tokens_or_never_moves_is_refused(stride):
    with pytest.raises(ValueError, match=f"a stride of {stride} skips tokens or never moves: .* leave 21 for"):
        Collator(tiny.tokenizer(), max_length=32, stride=stride, max_question=8)


def test_the_loss_is_the_peers(collator, seed, tmp_path):
    rng = random.Random(seed)
    model = tiny.model("span", 2, seed).eval()
    model.save_pretrained(tmp_path)
    peer = BertForQuestionAnswering.from_pretrained(tmp_path).eval()
    batch = collator(training_windows(collator, [asked(rng), asked(rng)]))
    first, last = batch["labels"].T
    theirs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    expected = peer(**theirs, start_positions=first, end_positions=last).loss
    torch.testing.assert_close(model(**batch).loss, expected, rtol=1e-5, atol=1e-5)


def test_best_spans_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        length, before = int(rng.integers(1, 12)), 3
        logits = torch.tensor(rng.normal(size=(before + length + 2, 2)))
        window = Window([0] * (before + length + 2), before, [Piece(0, i, i + 1) for i in range(length)])
        start, end = logits[before : before + length].numpy().T
        every = [
            (start[first] + end[last], first, last)
            for first in range(length)
            for last in range(first, min(first + 4, length))
        ]
        expected = sorted(every, reverse=True)[:5]
        found = best_spans(logits, window, max_answer=4, n=5)
        assert [(first, last) for first, last, _ in found] == [(first, last) for _, first, last in expected]
        np.testing.assert_allclose([score for *_, score in found], [score for score, *_ in expected])


def test_n_best_are_ranked_distinct_and_stand_in_the_text(collator, seed):
    rng = random.Random(seed)
    model = tiny.model("span", 2, seed).train()
    questions = [asked(rng, rng.randint(3, 50)) for _ in range(6)]
    together = n_best(model, collator, questions, n=5, batch_size=4)
    for question, answers in zip(questions, together, strict=True):
        *ranked, none = answers
        assert none.text == ""
        assert len(ranked) <= 5
        assert [answer.score for answer in ranked] == sorted((answer.score for answer in ranked), reverse=True)
        assert len({answer.text for answer in ranked}) == len(ranked)
        assert all(question.context[answer.start : answer.end] == answer.text != "" for answer in ranked)
        (alone,) = n_best(model, collator, [question], n=5)
        assert [answer.score for answer in alone] == pytest.approx([answer.score for answer in answers], abs=1e-4)
    assert predict(model, collator, questions) == [answers[0].text for answers in together]
    assert model.training


def test_no_answer_counts_only_where_every_window_says_so(collator):
    class Pointer(torch.nn.Module):
        """Points at "bob" with 5 where it is, else at [CLS] with 9."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids, **_):
            at_bob = (input_ids == tiny.tokenizer().id_of("bob")).float()
            logits = torch.stack([5 * at_bob, 5 * at_bob], -1) - 1
            logits[:, 0] = torch.where(at_bob.any(1, keepdim=True), -2.0, 9.0)
            return type("Out", (), {"logits": logits})

    here = Question("1", "who?", "ann " * 40 + "bob", ())
    gone = Question("2", "who?", "ann " * 40, ())
    answers = n_best(Pointer(), collator, [here, gone])
    assert (answers[0][0].text, answers[0][0].score, answers[0][-1].score) == ("bob", 8.0, -4.0)
    assert answers[1][-1].score == 18.0
    assert predict(Pointer(), collator, [here, gone], threshold=0.0) == ["bob", ""]


def ranked(text: str, score: float, none: float) -> list[Answer]:
    return [Answer(text, 0, len(text), score), Answer("", 0, 0, none)]


def test_a_threshold_decides_between_the_best_and_none():
    answers = ranked("bob", score=2.0, none=3.0)
    assert [choose(answers, threshold) for threshold in (0.5, 1.0, 1.5)] == ["", "bob", "bob"]
    assert choose(answers) == "bob"


@pytest.mark.parametrize("draw", range(10))
def test_the_tuned_threshold_is_the_best_of_all(seed, draw):
    rng = np.random.default_rng((seed, draw))
    questions, answers = [], []
    for i in range(40):
        has = i % 2 == 0
        questions.append(Question(str(i), "who?", "ann bob", (Reference("bob", 4),) if has else ()))
        margin = rng.integers(-24, 25) / 8 - has
        answers.append(ranked(str(rng.choice(["bob", "ann bob", "ann"])), 0.0, float(margin)))

    def mean_f1(threshold: float) -> float:
        return scores([choose(row, threshold) for row in answers], questions)["f1"]

    found = tune_threshold(answers, questions)
    on_and_between_all_margins = np.arange(-5, 5, 1 / 16)
    assert mean_f1(found) == pytest.approx(max(mean_f1(at) for at in on_and_between_all_margins))


def test_a_threshold_needs_questions_without_an_answer():
    questions = [Question(str(i), "who?", "ann bob", (Reference("bob", 4),)) for i in range(2)]
    with pytest.raises(ValueError, match="a threshold needs some questions that the text does not answer"):
        tune_threshold([ranked("bob", 0.0, none) for none in (-1.0, 1.0)], questions)


def test_where_nothing_can_be_answered_the_threshold_is_below_every_margin():
    questions = [Question(str(i), "who?", "ann", ()) for i in range(3)]
    answers = [ranked("ann", 0.0, none) for none in (-2.0, 0.0, 1.0)]
    threshold = tune_threshold(answers, questions)
    assert [choose(row, threshold) for row in answers] == ["", "", ""]


def test_scores_count_an_empty_answer_as_right_where_there_is_none():
    questions = [Question("1", "who?", "ann bob", (Reference("bob", 4),)), Question("2", "who?", "ann", ())]
    assert scores(["ann bob", ""], questions) == {"exact_match": 0.5, "f1": (squad_f1("ann bob", ["bob"]) + 1) / 2}
    assert scores(["bob", "ann"], questions) == {"exact_match": 0.5, "f1": 0.5}


def test_it_learns_who_met_ann_and_when_nobody_did():
    rng = random.Random(0)
    tokenizer = tiny.tokenizer()
    collator = Collator(tokenizer, max_length=32, stride=10, max_question=8)

    def meeting() -> Question:
        people = rng.sample(["bob", "eve", "zurich"], 2)
        filler = [" ".join(rng.choices(["the", "cat", "saw", "rome", "film"], k=rng.randint(0, 12))) for _ in range(2)]
        if rng.random() < 0.3:
            return Question("0", "who?", f"{filler[0]} {people[0]} {filler[1]}", ())
        context = f"{filler[0]} in {people[0]} {filler[1]} {people[1]}"
        return Question("1", "who?", context, (Reference(people[0], context.index(f"in {people[0]}") + 3),))

    model = tiny.model("span", 2, dropout=0.0)
    windows = training_windows(collator, [meeting() for _ in range(600)])
    tiny.fit(model, Loader(windows, 32, collator), steps=150)
    held_out = [meeting() for _ in range(80)]
    threshold = tune_threshold(n_best(model, collator, held_out, n=1), held_out)
    found = evaluate(model, collator, [meeting() for _ in range(80)], threshold)
    assert found["exact_match"] > 0.9
