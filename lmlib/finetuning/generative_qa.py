"""Generative question answering: the answer is written, not marked in the passage; "no answer" is written, too.

A question and its passage are the source of a sequence-to-sequence model. Source: Raffel et al. 2020, appendix D.15.
"""

from collections.abc import Sequence

from lmlib.evaluation.question_answering import cmrc_exact_match, cmrc_f1, squad_exact_match, squad_f1

NO_ANSWER = {"en": "no answer", "zh": "没有答案"}
RULES = {"en": (squad_exact_match, squad_f1), "zh": (cmrc_exact_match, cmrc_f1)}


def source_of(question: str, passage: str) -> str:
    """What the model reads."""
    return f"question: {question} context: {passage}"


def target_of(answers: Sequence[str], language: str) -> str:
    """What the model is to write: the first accepted answer, or that there is none."""
    _check(language)
    return answers[0] if answers else NO_ANSWER[language]


def answer_scores(written: Sequence[str], answers: Sequence[Sequence[str]], language: str) -> dict[str, float]:
    """Exact match and F1, 0 to 100, by the rules of SQuAD (en) or CMRC 2018 (zh).

    `answers` holds all accepted answers of each question, none where the passage does not say: then only the words for
    "no answer" are right. Raises ValueError.
    """
    _check(language)
    if not written or len(written) != len(answers):
        raise ValueError(f"one written answer a question is needed; got {len(written)} for {len(answers)} questions")
    exact, f1 = RULES[language]
    pairs = [(text, accepted or [NO_ANSWER[language]]) for text, accepted in zip(written, answers, strict=True)]
    return {
        "exact match": 100 * sum(exact(text, accepted) for text, accepted in pairs) / len(pairs),
        "F1": 100 * sum(f1(text, accepted) for text, accepted in pairs) / len(pairs),
    }


def _check(language: str) -> None:
    if language not in RULES:
        raise ValueError(f"the language is one of {', '.join(RULES)}; got {language!r}")
