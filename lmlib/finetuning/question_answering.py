"""Answers are spans of a text: the model scores where one begins and where it ends.

A text that is too long for the model is read in windows that overlap. A window without the answer is taught to point at
[CLS], which so means "no answer here". Shapes: B windows, T tokens. Source: Devlin et al. 2019, sections 4.2 and 4.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lmlib.data.batching import pad
from lmlib.data.tasks.question_answering import Question
from lmlib.evaluation.question_answering import squad_exact_match, squad_f1
from lmlib.finetuning.prediction import logits_of
from lmlib.text.offsets import Piece, pieces
from lmlib.text.wordpiece import WordPiece


@dataclass(frozen=True)
class Window:
    """[CLS] question [SEP] a stretch of the context [SEP]: tokens, and the characters of the context they stand for.

    `context_from` is the place of the first token of the stretch. `labels`: the places of the answer's first and last
    token; (0, 0) where the window has no whole answer.
    """

    ids: list[int]
    context_from: int
    pieces: list[Piece]
    labels: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Answer:
    """A span of the context, context[start:end] == text, and its score; the text is empty for "no answer"."""

    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Collator:
    """Windows → a batch, and questions → windows.

    A window has `max_length` tokens; the next begins `stride` tokens of the context later. Questions are cut at
    `max_question`; answers of more than `max_answer` tokens are not considered.
    """

    tokenizer: WordPiece
    max_length: int = 384
    stride: int = 128
    max_question: int = 64
    max_answer: int = 30

    def __post_init__(self) -> None:
        least = self.max_length - self.max_question - 3  # what is left for the context beside the longest question
        if not 1 <= self.stride <= least:
            raise ValueError(
                f"a stride of {self.stride} skips tokens or never moves: windows of {self.max_length} with questions "
                f"of up to {self.max_question} leave {least} for the context; take a stride from 1 to that"
            )

    def __call__(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """input_ids, attention_mask and token_type_ids (B, T), labels (B, 2)."""
        return self.inputs(windows) | {"labels": torch.tensor([window.labels for window in windows])}

    def inputs(self, windows: Sequence[Window]) -> dict[str, Tensor]:
        """The same without labels."""
        ids, mask = pad([window.ids for window in windows], self.tokenizer.vocabulary["[PAD]"])
        types = torch.zeros_like(ids)
        for row, window in enumerate(windows):
            types[row, window.context_from : len(window.ids)] = 1
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}

    def windows(self, question: Question) -> list[Window]:
        """The windows of one question; each token of the context is in at least one. Labels follow the first answer."""
        vocabulary = self.tokenizer.vocabulary
        asked = [piece.id for piece in pieces(self.tokenizer, question.question)][: self.max_question]
        head = [vocabulary["[CLS]"], *asked, vocabulary["[SEP]"]]
        context = pieces(self.tokenizer, question.context)
        room = self.max_length - len(head) - 1
        found = []
        for start in range(0, max(len(context) - room, 0) + self.stride, self.stride):
            stretch = context[start : start + room]
            ids = [*head, *(piece.id for piece in stretch), vocabulary["[SEP]"]]
            found.append(Window(ids, len(head), stretch, self._labels(question, stretch, len(head))))
            if start + room >= len(context):
                break
        return found

    @staticmethod
    def _labels(question: Question, stretch: list[Piece], context_from: int) -> tuple[int, int]:
        if not question.answers or not stretch:
            return 0, 0
        start = question.answers[0].start
        end = start + len(question.answers[0].text)
        inside = [i for i, piece in enumerate(stretch) if piece.start < end and piece.end > start]
        if not inside or stretch[0].start > start or stretch[-1].end < end:
            return 0, 0
        return context_from + inside[0], context_from + inside[-1]


def training_windows(collator: Collator, questions: Sequence[Question]) -> list[Window]:
    """The windows of all questions, in order: what a loader takes as examples."""
    return [window for question in questions for window in collator.windows(question)]


def n_best(
    model: nn.Module, collator: Collator, questions: Sequence[Question], n: int = 5, batch_size: int = 16
) -> list[list[Answer]]:
    """For each question the `n` best answers, the best first, and last "no answer" with its own score.

    The score of a span is the sum of the logits of its ends, in the window where that is highest; of "no answer" the
    same at [CLS], in the window where it is lowest: it holds only when no window has an answer.
    """
    windows = [collator.windows(question) for question in questions]
    every = [window for of_question in windows for window in of_question]
    logits = iter(logits_of(model, every, collator.inputs, lambda window: len(window.ids), batch_size))
    return [
        _merged(question, [(window, next(logits)) for window in of_question], collator.max_answer, n)
        for question, of_question in zip(questions, windows, strict=True)
    ]


def _merged(question: Question, scored: list[tuple[Window, Tensor]], max_answer: int, n: int) -> list[Answer]:
    best: dict[str, Answer] = {}  # by text: the same words at another place are no other answer
    for window, logits in scored:
        for first, last, score in best_spans(logits, window, max_answer, n):
            start, end = window.pieces[first].start, window.pieces[last].end
            answer = Answer(question.context[start:end], start, end, score)
            if answer.text not in best or best[answer.text].score < score:
                best[answer.text] = answer
    ranked = sorted(best.values(), key=lambda answer: -answer.score)[:n]
    return [*ranked, Answer("", 0, 0, min(float(logits[0].sum()) for _, logits in scored))]


def best_spans(logits: Tensor, window: Window, max_answer: int, n: int) -> list[tuple[int, int, float]]:
    """The `n` best spans (first, last, score) of a window with logits (T, 2), of at most `max_answer` tokens each."""
    length = len(window.pieces)
    start, end = logits[window.context_from : window.context_from + length].T  # (S,) each
    scores = start[:, None] + end[None, :]  # (S, S): first token by last token
    allowed = torch.ones(length, length, dtype=torch.bool).triu().tril(max_answer - 1)
    flat = scores.masked_fill(~allowed, float("-inf")).flatten()
    top = flat.topk(min(n, int(allowed.sum())))
    return [(int(i) // length, int(i) % length, float(score)) for i, score in zip(top.indices, top.values, strict=True)]


def choose(ranked: Sequence[Answer], threshold: float = float("inf")) -> str:
    """The best answer of `n_best`, or "" when "no answer" scores more than `threshold` above it."""
    best, none = ranked[0], ranked[-1]
    return "" if none.score - best.score > threshold else best.text


def tune_threshold(ranked: Sequence[Sequence[Answer]], questions: Sequence[Question]) -> float:
    """The threshold for `choose` with the highest mean F1 on these questions (of a validation set).

    Every threshold that makes a difference is tried. Raises ValueError when no question is without an answer.
    """
    if all(question.answers for question in questions):
        raise ValueError("a threshold needs some questions that the text does not answer; every question has one")
    margins = sorted({answers[-1].score - answers[0].score for answers in ranked})
    candidates = [margins[0] - 1, *margins]
    gains = [
        sum(_f1(choose(answers, at), question) for answers, question in zip(ranked, questions, strict=True))
        for at in candidates
    ]
    return candidates[max(range(len(candidates)), key=lambda i: gains[i])]


def _f1(prediction: str, question: Question) -> float:
    return squad_f1(prediction, [answer.text for answer in question.answers] or [""])


def predict(
    model: nn.Module, collator: Collator, questions: Sequence[Question], threshold: float = float("inf")
) -> list[str]:
    """The answer to each question, "" for none; without a threshold every question gets one."""
    return [choose(answers, threshold) for answers in n_best(model, collator, questions, n=1)]


def evaluate(
    model: nn.Module, collator: Collator, questions: Sequence[Question], threshold: float = float("inf")
) -> dict[str, float]:
    """Exact match and F1 by the rules of SQuAD; a question without an answer wants ""."""
    predicted = predict(model, collator, questions, threshold)
    return scores(predicted, questions)


def scores(predicted: Sequence[str], questions: Sequence[Question]) -> dict[str, float]:
    """The same for answers that are there already."""
    accepted = [[answer.text for answer in question.answers] or [""] for question in questions]
    pairs = list(zip(predicted, accepted, strict=True))
    return {
        "exact_match": sum(squad_exact_match(*pair) for pair in pairs) / len(pairs),
        "f1": sum(squad_f1(*pair) for pair in pairs) / len(pairs),
    }
