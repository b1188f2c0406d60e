"""Two stretches of a document in one row, for next sentence and sentence order: [CLS] first [SEP] second [SEP].

A document is cut between two sentences at a place that is drawn. So the second stretch looks the same whether it comes
from this document or another: nothing but the relation of the two tells the label.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmlib.data.batching import pad
from lmlib.pretraining.collator import Batch, Document, SpecialTokens
from lmlib.pretraining.masked import Masked

Stretches = tuple[list[int], list[int]]
N_SPECIAL = 3  # one start and two ends


def cut(document: Document, generator: torch.Generator | None) -> Stretches:
    """The tokens before and after a cut between two sentences. Raises ValueError where there is nothing to cut."""
    if not all(isinstance(sentence, Sequence) for sentence in document):
        raise ValueError("a document is a list of sentences, each a list of ids; got one list of ids")
    lengths = [len(sentence) for sentence in document]
    if len(lengths) < 2 or min(lengths) == 0:
        raise ValueError(f"a document to pair needs two sentences or more, none empty; got lengths {lengths}")
    at = 1 + int(torch.randint(len(document) - 1, (1,), generator=generator))
    first, second = ([i for sentence in part for i in sentence] for part in (document[:at], document[at:]))
    return first, second


def trim(first: list[int], second: list[int], max_length: int) -> Stretches:
    """The tokens next to the cut, so that the row has `max_length` at most; the longer stretch gives way first."""
    room = max_length - N_SPECIAL
    n_first = min(len(first), max(room - len(second), room - room // 2))
    return first[len(first) - n_first :], second[: room - n_first]


def check_length(max_length: int) -> None:
    """Raise ValueError unless a row has room for a token of each stretch."""
    if max_length < N_SPECIAL + 2:
        raise ValueError(f"max_length must be at least {N_SPECIAL + 2}, a token a side; got {max_length}")


def pair_batch(pairs: Sequence[Stretches], labels: Tensor, tokens: SpecialTokens, masked: Masked | None) -> Batch:
    """Rows of two stretches with segment ids (B, T), their labels (B,), and masked tokens where these are wanted."""
    start, end = (tokens.need(name, "a pair of sentences") for name in ("start", "end"))
    for pair in pairs:
        for stretch in pair:
            tokens.check_plain(stretch)
    rows = [[start, *first, end, *second, end] for first, second in pairs]
    segments = [[0] * (len(first) + 2) + [1] * (len(second) + 1) for first, second in pairs]
    ids, attention_mask = tokens.batch(rows)
    batch = {} if masked is None else masked(rows)
    return {
        "input_ids": ids,
        "attention_mask": attention_mask,
        "token_type_ids": pad(segments, 0)[0],
        **batch,
        "pair_labels": labels,
    }
