"""Classification by a causal model: which answer is the likeliest continuation of the prompt?

The prompt is read once; its cache serves all answers. Shapes: N prompts, W answers (words) of each, K labels, R = N·W
rows, L tokens of the longest answer, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lmlib.decoding.session import Session, is_encoder_decoder
from lmlib.models.base import NOT_NUMBERS
from lmlib.prompting.templates import Prompt, Values

Encode = Callable[[str], list[int]]
Tokens = Sequence[int]


@dataclass(frozen=True)
class AnswerScores:
    """ln P of answers given their prompts, and how many tokens each has: (N, W) both."""

    total: Tensor
    lengths: Tensor

    @property
    def mean(self) -> Tensor:
        """ln P of a token of the answer, on average. Source: Brown et al. 2020, section 2.4."""
        return self.total / self.lengths


def split_tokens(encode: Encode, before: str, answers: Sequence[str]) -> tuple[list[int], list[list[int]]]:
    """The tokens that all of before + answer begin with, and what follows them in each.

    A text is encoded as a whole, since a tokenizer may join the end of the prompt to the answer (a space, to the word
    behind it): such a piece then counts to the answer, in each of them. Raises ValueError for answers that come out
    without a token or alike.
    """
    whole = [encode(before + answer) for answer in answers]
    n = _shared([encode(before), *whole])
    rest = [ids[n:] for ids in whole]
    for i, ids in enumerate(rest):
        if not ids:
            raise ValueError(f"the answer {answers[i]!r} has no token of its own after {before[-40:]!r}")
        if ids in rest[:i]:
            same = answers[rest.index(ids)]
            raise ValueError(f"the tokenizer gives {same!r} and {answers[i]!r} the same tokens {ids}: use other words")
    return whole[0][:n], rest


def _shared(rows: Sequence[Tokens]) -> int:
    """How many tokens all rows begin with."""
    n = 0
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        n += 1
    return n


def answer_log_probabilities(
    model: Any, prompts: Sequence[Tokens], answers: Sequence[Sequence[Tokens]], batch_size: int = 16
) -> AnswerScores:
    """Score W answers to each of N prompts, all given as token ids; prompts and answers may have any lengths.

    `batch_size` prompts are read at a time, the shortest first. Raises ValueError that says what does not fit.
    """
    _check_answers(prompts, answers)
    total = torch.empty(len(prompts), len(answers[0]))
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        group = order[start : start + batch_size]
        total[group] = _batch([prompts[i] for i in group], [answers[i] for i in group], model)
    if total.isnan().any():
        raise ValueError(NOT_NUMBERS)
    return AnswerScores(total, torch.tensor([[len(answer) for answer in row] for row in answers]))


def _check_answers(prompts: Sequence[Tokens], answers: Sequence[Sequence[Tokens]]) -> None:
    if not prompts or len(answers) != len(prompts):
        raise ValueError(
            f"each prompt needs its answers; got {len(prompts)} prompts and {len(answers)} lists of answers"
        )
    counts = sorted({len(row) for row in answers})
    if len(counts) > 1 or not counts[0]:
        raise ValueError(f"each prompt needs the same number of answers, one or more; got {counts}")
    if not all(len(answer) for row in answers for answer in row):
        raise ValueError("an answer has no tokens, so there is nothing to score")


@torch.inference_mode()
def _batch(prompts: Sequence[Tokens], answers: Sequence[Sequence[Tokens]], model: Any) -> Tensor:
    """(N, W) sums of ln P over the tokens of each answer."""
    rows = [answer for of_prompt in answers for answer in of_prompt]
    n_answers, longest = len(answers[0]), max(map(len, rows))
    if is_encoder_decoder(model):
        raise ValueError(f"{type(model).__name__} reads a source first; answers are scored with a decoder-only model")
    session = Session.start(model, prompts, max(1, longest - 1))  # the last token is predicted, never read
    device = session.scores.device
    filled = [list(row) + [0] * (longest - len(row)) for row in rows]
    ids = torch.tensor(filled, device=device)  # (R, L)
    scores = session.scores[:, None].repeat_interleave(n_answers, dim=0)  # (R, 1, V)
    if longest > 1:
        session.repeat(n_answers)
        scores = torch.cat([scores, session.feed(ids[:, :-1], all_scores=True)], dim=1)  # (R, L, V)
    log_p = scores.log_softmax(-1).gather(-1, ids[..., None]).squeeze(-1)  # (R, L)
    real = torch.arange(longest, device=device) < torch.tensor([len(row) for row in rows], device=device)[:, None]
    return log_p.masked_fill(~real, 0.0).sum(1).view(len(prompts), n_answers).cpu()


def causal_scores(
    model: Any,
    encode: Encode,
    prompt: Prompt,
    examples: Sequence[Values],
    *,
    by: Literal["total", "mean"] = "total",
    batch_size: int = 16,
) -> Tensor:
    """ln P of each label for each example, (N, K). What follows {answer} in the template is scored with the answer.

    by: "total" is the probability of the words; "mean" is that of a token of theirs, which does not favour short ones.
    """
    if by not in ("total", "mean"):
        raise ValueError(f'by must be "total" or "mean"; got {by!r}')
    texts = [prompt.fill(values) for values in examples]
    split = [
        split_tokens(encode, before, [word + after for word in prompt.verbaliser.words]) for before, after in texts
    ]
    scores = answer_log_probabilities(model, [ids for ids, _ in split], [rest for _, rest in split], batch_size)
    return prompt.verbaliser.label_scores(scores.total if by == "total" else scores.mean)
