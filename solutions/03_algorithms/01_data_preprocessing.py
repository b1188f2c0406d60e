# %% [markdown] name="title"
# # 3.1 数据预处理 · Data preprocessing — exercises
#
# 本节的练习从字节对编码的一次合并写起，再把长短不一的文档做成一个批次：截断、结束符、填充、掩码与标签。
# 然后写出带文档编号的打包，把字节对编码写成一个学一次、用多次的类，最后计算每字节比特，并找出一处数据泄漏。
#
# You write the steps from pieces to training rows. Each question has a cell for your answer and a cell that checks it.
# Section 3.1 has all that you need.

# %% name="authoring" tags=["instructor"]
# %load_ext lmlib.course.authoring
# %assignment 01_data_preprocessing

# %% name="imports"
import math
from collections import Counter
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor

from lmlib.course.checks import hint

# %% [markdown] name="merge" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "3.1"}
# ## 1. One merge of byte-pair encoding
#
# Find the pair of neighbours that comes most often, and write it as one new token.
#
# | | shape | |
# | --- | --- | --- |
# | `ids` | (T) int64 | the tokens of a text, two or more |
# | `new_id` | int | the id of the token that is made |
# | returns `pair` | (2) int64 | the most frequent pair; of equal ones the smaller left id, then the smaller right id |
# | returns `merged` | (T') int64 | the text with the pair replaced, **from left to right**, without overlap |
#
# Pairs are counted wherever two tokens stand side by side: `7 7 7` has the pair (7, 7) twice, but only one of the two
# can be replaced: `new 7`.
#
# **What usually goes wrong:** overlapping pairs; a tie is broken by what came first; the last token is lost.


# %% name="merge-answer"
def merge_once(ids: Tensor, new_id: int) -> tuple[Tensor, Tensor]:
    """The most frequent pair, and the text after its merge."""
    ### BEGIN SOLUTION
    tokens = ids.tolist()
    counts = Counter(pairwise(tokens))
    best = min(counts, key=lambda pair: (-counts[pair], pair))
    merged = []
    for token in tokens:
        merged.append(token)
        if tuple(merged[-2:]) == best:
            merged[-2:] = [new_id]
    return torch.tensor(best), torch.tensor(merged)
    ### END SOLUTION


# %% name="merge-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_data_preprocessing", "merge", merge_once)

# %% [markdown] name="merge-hint-1"
# Count first: go over all neighbours and count in a dictionary, pairs of Python numbers (`ids.tolist()`). Tuples
# compare as you need them: (2, 9) < (3, 1).

# %% [markdown] name="merge-hint-2"
# For the replacement walk with an index: where the pair begins, write the new id and step by two; else copy the token
# and step by one. Do not forget the last token.

# %% name="merge-parts"
import math

import torch

from lmlib.course.questions import FunctionQuestion, ValueQuestion

merge = FunctionQuestion(
    "merge_once",
    returns=("pair", "merged"),
    atol=0.0,
    because="token ids are whole numbers",
)


@merge.case(points=1)
def clear_winner(draw):
    """one pair comes most often"""
    return {"ids": torch.tensor([5, 8, 9, 3, 6, 3, 4, 8, 9, 2, 6, 3, 6, 8, 9, 7]), "new_id": 10}


@merge.case(points=1)
def runs(draw):
    """runs of the same token, of odd and even length"""
    return {"ids": torch.tensor([8, 4, 5, 7, 7, 7, 4, 5, 3, 4, 5, 7, 7, 7, 7, 4, 5]), "new_id": 11}


@merge.case(points=1)
def ties(draw):
    """five pairs that are equally frequent"""
    text = [4, 10, 11, 4, 10, 12, 9, 1, 13, 9, 1, 14, 2, 8, 15, 2, 8, 16, 2, 5, 17, 2, 5, 12, 5, 18, 3, 1, 19, 3, 1]
    return {"ids": torch.tensor(text), "new_id": 20}


@merge.case(points=1)
def random_text(draw):
    """a random text of 200 tokens over six ids"""
    return {"ids": torch.cat([draw.order(6) for _ in range(30)] + [draw.order(20) % 3]), "new_id": 6}


@merge.invariant
def nothing_lost(got, inputs):
    """the new token stands for two, so the number of tokens must come out right"""
    return len(got[1]) + int((got[1] == inputs["new_id"]).sum()) == len(inputs["ids"])


# %% name="merge-mistake-first-of-equals"
# %%mistake merge
# Of equally frequent pairs another one is taken, perhaps the first in the text or the largest. The smaller left id must
# win, then the smaller right id.
def merge_once(ids, new_id):
    tokens, counts = ids.tolist(), {}
    for pair in pairwise(tokens):
        counts[pair] = counts.get(pair, 0) + 1
    best = max(counts, key=counts.get)
    merged = []
    for token in tokens:
        merged.append(token)
        if tuple(merged[-2:]) == best:
            merged[-2:] = [new_id]
    return torch.tensor(best), torch.tensor(merged)


# %% name="merge-mistake-from-the-right"
# %%mistake merge
# The text is merged from the right. In a run of three the wrong two are joined; go from left to right.
reference = merge_once


def merge_once(ids, new_id):
    pair, _ = reference(ids, new_id)
    merged = []
    for token in reversed(ids.tolist()):
        merged.insert(0, token)
        if merged[:2] == pair.tolist():
            merged[:2] = [new_id]
    return pair, torch.tensor(merged)


# %% name="merge-mistake-last-lost"
# %%mistake merge
# The loop runs over pairs and stops before the last token, which is lost unless it was merged.
reference = merge_once


def merge_once(ids, new_id):
    pair, merged = reference(ids, new_id)
    return pair, merged if merged[-1] == new_id else merged[:-1]


# %% name="merge-mistake-step-by-two"
# %%mistake merge
# Only the pairs at even places are counted: the walk steps by two. Neighbours overlap, so every place counts.
def merge_once(ids, new_id):
    tokens, counts = ids.tolist(), {}
    for pair in zip(tokens[::2], tokens[1::2], strict=False):
        counts[pair] = counts.get(pair, 0) + 1
    best = min(counts, key=lambda pair: (-counts[pair], pair))
    merged = []
    for token in tokens:
        merged.append(token)
        if tuple(merged[-2:]) == best:
            merged[-2:] = [new_id]
    return torch.tensor(best), torch.tensor(merged)


# %% name="merge-mistake-counted-without-overlap"
# %%mistake merge
# Runs are counted without overlap. `7 7 7` has the pair (7, 7) twice; only the replacement goes without overlap.
def merge_once(ids, new_id):
    tokens, counts, i = ids.tolist(), Counter(), 0
    while i < len(tokens) - 1:
        counts[tokens[i], tokens[i + 1]] += 1
        i += 2 if i + 2 < len(tokens) and tokens[i] == tokens[i + 1] == tokens[i + 2] else 1
    best = min(counts, key=lambda pair: (-counts[pair], pair))
    merged = []
    for token in tokens:
        merged.append(token)
        if tuple(merged[-2:]) == best:
            merged[-2:] = [new_id]
    return torch.tensor(best), torch.tensor(merged)


# %% name="merge-mistake-tensors-as-keys"
# %%mistake merge
# Either the rarest pair is taken, or the keys of the counter are tensors. Two tensors with the same number are two
# different keys, so every pair is counted once. Make Python numbers first: `ids.tolist()`.
def merge_once(ids, new_id):
    counts = Counter(pairwise(ids))
    best = min(counts, key=lambda pair: (-counts[pair], pair))
    merged = []
    for token in ids:
        merged.append(token)
        if tuple(merged[-2:]) == best:
            merged[-2:] = [new_id]
    return torch.tensor(best), torch.tensor(merged)


# %% name="merge-mistake-overlapping-replaced"
# %%mistake merge
# Pairs that overlap are both replaced: `7 7 7` becomes `new new`. After a replacement go on behind the pair, for a
# token is used once.
reference = merge_once


def merge_once(ids, new_id):
    pair, _ = reference(ids, new_id)
    begins = (ids[:-1] == pair[0]) & (ids[1:] == pair[1])
    no = torch.tensor([False])
    merged = torch.where(torch.cat([begins, no]), new_id, ids)
    return pair, merged[torch.cat([begins, no]) | ~torch.cat([no, begins])]


# %% name="merge-mistake-second-stays"
# %%mistake merge
# The second token of the pair is still there. The new token stands for both: after a replacement step by two.
reference = merge_once


def merge_once(ids, new_id):
    pair, _ = reference(ids, new_id)
    begins = (ids[:-1] == pair[0]) & (ids[1:] == pair[1])
    return pair, torch.where(torch.cat([begins, torch.tensor([False])]), new_id, ids)


# %% name="merge-other-counter"
# %%other merge
# The pairs sorted, and an index that steps.
def merge_once(ids, new_id):
    tokens = ids.tolist()
    ranked = sorted(Counter(pairwise(tokens)).items(), key=lambda item: (-item[1], item[0]))
    left, right = ranked[0][0]
    out, i = [], 0
    while i < len(tokens):
        if i + 1 < len(tokens) and tokens[i] == left and tokens[i + 1] == right:
            out.append(new_id)
            i += 1
        else:
            out.append(tokens[i])
        i += 1
    return torch.tensor([left, right]), torch.tensor(out)


# %% name="merge-other-table"
# %%other merge
# The counts as a square table; argmax of the flat table gives the smallest ids of equals.
def merge_once(ids, new_id):
    size = int(ids.max()) + 1
    table = torch.zeros(size, size, dtype=torch.long)
    for a, b in pairwise(ids.tolist()):
        table[a, b] += 1
    left, right = divmod(int((table.flatten() == table.max()).nonzero()[0]), size)
    text = "," + ",".join(f"<{i}>" for i in ids.tolist()) + ","
    text = text.replace(",", ",,").replace(f",<{left}>,,<{right}>,", f",<{new_id}>,")
    return torch.tensor([left, right]), torch.tensor([int(part.strip("<>")) for part in text.split(",") if part])


# %% [markdown] name="batch" question={"points": 5, "difficulty": 3, "minutes": 20, "section": "3.1"}
# ## 2. A batch of documents
#
# Make a rectangle of documents of different lengths, for a model that predicts the next token.
#
# - A document that is too long is cut, so that **with its end token** it has `length` tokens. The real tokens of every
#   row end with the end token, also those of a cut document.
# - Short rows are filled at the right with `pad_id`.
# - `labels` are the ids themselves (the model moves them by one place), and -100 at padding. `pad_id` and `end_id` may
#   be **the same number**; the end token is learned, padding is not.
#
# | | shape | |
# | --- | --- | --- |
# | `documents` | list of int64 tensors | each of one token or more |
# | `length` | int | the width T of the rectangle, 2 or more |
# | `end_id`, `pad_id` | int | |
# | returns `ids` | (B, T) int64 | |
# | returns `mask` | (B, T) bool | True at real tokens, the end token included |
# | returns `labels` | (B, T) int64 | |
#
# **What usually goes wrong:** a cut document loses its end token; the mask is made by comparing with `pad_id`.


# %% name="batch-answer"
def make_batch(documents: list[Tensor], length: int, end_id: int, pad_id: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows with end token and padding, their mask and their labels."""
    ### BEGIN SOLUTION
    ids = torch.full((len(documents), length), pad_id)
    mask = torch.zeros(len(documents), length, dtype=torch.bool)
    for row, document in enumerate(documents):
        n = min(len(document), length - 1)
        ids[row, :n] = document[:n]
        ids[row, n] = end_id
        mask[row, : n + 1] = True
    return ids, mask, ids.masked_fill(~mask, -100)
    ### END SOLUTION


# %% name="batch-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_data_preprocessing", "batch", make_batch)

# %% [markdown] name="batch-hint-1"
# How many tokens of a document are kept? One place must stay free for the end token.

# %% [markdown] name="batch-hint-2"
# Fill the mask from the number of tokens, not from their values: the end token may look like padding. The labels are
# `ids.masked_fill(~mask, -100)`.

# %% name="batch-parts"
batch = FunctionQuestion(
    "make_batch",
    returns=("ids", "mask", "labels"),
    atol=0.0,
    because="token ids are whole numbers",
)


def documents_of(draw, lengths):
    return [draw.order(50)[:n] + 3 for n in lengths]


@batch.case(points=1)
def short_documents(draw):
    """all documents are short; padding and end are different"""
    return {"documents": documents_of(draw, [2, 5, 3]), "length": 8, "end_id": 1, "pad_id": 0}


@batch.case(points=2)
def long_documents(draw):
    """some documents are too long, one fits exactly, one is a token too long"""
    return {"documents": documents_of(draw, [12, 5, 6, 1]), "length": 6, "end_id": 1, "pad_id": 0}


@batch.case(points=2)
def one_number_for_both(draw):
    """end and padding are the same number, as in GPT-2"""
    return {"documents": documents_of(draw, [3, 9, 1]), "length": 6, "end_id": 2, "pad_id": 2}


@batch.invariant
def ends_with_end(got, inputs):
    """the last token of each row that the mask calls real must be the end token"""
    ids, mask, _ = got
    return all(bool(m.any()) and int(row[m][-1]) == inputs["end_id"] for row, m in zip(ids, mask, strict=True))


@batch.invariant
def padding_not_learned(got, inputs):
    """labels and mask do not fit: a label is -100 exactly where the mask is False"""
    return torch.equal(got[2] == -100, ~got[1])


# %% name="batch-mistake-end-cut-off"
# %%mistake batch
# The end token is put behind the document and then cut off with it. Here every row has it, also that of a cut document:
# cut first, to one token less.
def make_batch(documents, length, end_id, pad_id):
    ids = torch.full((len(documents), length), pad_id)
    mask = torch.zeros(len(documents), length, dtype=torch.bool)
    for row, document in enumerate(documents):
        whole = torch.cat([document, torch.tensor([end_id])])[:length]
        ids[row, : len(whole)] = whole
        mask[row, : len(whole)] = True
    return ids, mask, ids.masked_fill(~mask, -100)


# %% name="batch-mistake-mask-by-value"
# %%mistake batch
# The mask is made by comparing with the padding's number. Where the end token has the same number, it is hidden and
# never learned.
def make_batch(documents, length, end_id, pad_id):
    ids = torch.full((len(documents), length), pad_id)
    for row, document in enumerate(documents):
        n = min(len(document), length - 1)
        ids[row, :n] = document[:n]
        ids[row, n] = end_id
    mask = ids != pad_id
    return ids, mask, ids.masked_fill(~mask, -100)


# %% name="batch-mistake-padding-learned"
# %%mistake batch
# Padding has a label. The model would learn to write padding, and most of the loss would come from it.
reference = make_batch


def make_batch(documents, length, end_id, pad_id):
    ids, mask, _ = reference(documents, length, end_id, pad_id)
    return ids, mask, ids.clone()


# %% name="batch-mistake-shifted-labels"
# %%mistake batch
# The labels are moved by one place already. The model moves them itself, so each token would be asked for the one
# after the next.
reference = make_batch


def make_batch(documents, length, end_id, pad_id):
    ids, mask, labels = reference(documents, length, end_id, pad_id)
    return ids, mask, torch.nn.functional.pad(labels[:, 1:], (0, 1), value=-100)


# %% name="batch-mistake-end-not-real"
# %%mistake batch
# The end token is written, but the mask calls it padding. It must be read and learned like any other token.
def make_batch(documents, length, end_id, pad_id):
    ids = torch.full((len(documents), length), pad_id)
    mask = torch.zeros(len(documents), length, dtype=torch.bool)
    for row, document in enumerate(documents):
        n = min(len(document), length - 1)
        ids[row, :n] = document[:n]
        ids[row, n] = end_id
        mask[row, :n] = True
    return ids, mask, ids.masked_fill(~mask, -100)


# %% name="batch-mistake-end-in-last-column"
# %%mistake batch
# The end token stands in the last column, behind the padding. It follows its document at once; padding comes after it.
def make_batch(documents, length, end_id, pad_id):
    ids = torch.full((len(documents), length), pad_id)
    ids[:, -1] = end_id
    mask = torch.zeros(len(documents), length, dtype=torch.bool)
    mask[:, -1] = True
    for row, document in enumerate(documents):
        n = min(len(document), length - 1)
        ids[row, :n] = document[:n]
        mask[row, :n] = True
    return ids, mask, ids.masked_fill(~mask, -100)


# %% name="batch-mistake-mask-upside-down"
# %%mistake batch
# The mask is upside down: True is a real token, False is padding.
reference = make_batch


def make_batch(documents, length, end_id, pad_id):
    ids, mask, labels = reference(documents, length, end_id, pad_id)
    return ids, ~mask, labels


# %% name="batch-mistake-mask-by-value-labels-right"
# %%mistake batch
# The labels are right, but the mask is made by comparing with the padding's number. Where the end token has the same
# number, it is hidden.
reference = make_batch


def make_batch(documents, length, end_id, pad_id):
    ids, _, labels = reference(documents, length, end_id, pad_id)
    return ids, ids != pad_id, labels


# %% name="batch-mistake-ignored-in-ids"
# %%mistake batch
# There is a -100 in the ids: the embedding has no row for it. Padding is `pad_id` in the ids, and -100 only in the
# labels.
reference = make_batch


def make_batch(documents, length, end_id, pad_id):
    _, mask, labels = reference(documents, length, end_id, pad_id)
    return labels, mask, labels


# %% name="batch-other-lists"
# %%other batch
# Lists first, tensors at the end.
def make_batch(documents, length, end_id, pad_id):
    rows = [[*document.tolist()[: length - 1], end_id] for document in documents]
    ids = [row + [pad_id] * (length - len(row)) for row in rows]
    labels = [row + [-100] * (length - len(row)) for row in rows]
    mask = [[True] * len(row) + [False] * (length - len(row)) for row in rows]
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(labels)


# %% name="batch-other-arange"
# %%other batch
# The mask from the lengths at once; torch pads.
def make_batch(documents, length, end_id, pad_id):
    rows = [torch.cat([d[: length - 1], d.new_tensor([end_id])]) for d in documents]
    rows.append(torch.zeros(length, dtype=torch.long))  # makes the rectangle as wide as it must be
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad_id)[:-1]
    mask = torch.arange(length) < torch.tensor([len(row) for row in rows[:-1]])[:, None]
    return ids, mask, torch.where(mask, ids, -100)


# %% name="batch-equivalent-smaller"
# %%equivalent batch
# The smaller of two numbers, whichever is named first.
n = min(length - 1, len(document))

# %% [markdown] name="packing" question={"points": 4, "difficulty": 3, "minutes": 20, "section": "3.1"}
# ## 3. Packing, and which document a token is from
#
# Write the documents one after the other, `separator` after each, and cut rows of `length`. An incomplete row at the
# end is dropped. Give also the **number of the document** of each token, from 0: with it a mask can keep a token from
# looking into the document before. A separator belongs to the document that it ends.
#
# | | shape | |
# | --- | --- | --- |
# | `documents` | list of int64 tensors | together they fill at least one row |
# | `length`, `separator` | int | |
# | returns `rows` | (N, length) int64 | |
# | returns `numbers` | (N, length) int64 | |
#
# **What usually goes wrong:** numbers are counted from the separators and jump one place too early; a document may hold
# the separator's number itself.


# %% name="packing-answer"
def pack(documents: list[Tensor], length: int, separator: int) -> tuple[Tensor, Tensor]:
    """Packed rows, and the number of each token's document."""
    ### BEGIN SOLUTION
    stream = [token for document in documents for token in (*document.tolist(), separator)]
    owner = [k for k, document in enumerate(documents) for _ in range(len(document) + 1)]
    n = len(stream) // length * length
    return torch.tensor(stream[:n]).view(-1, length), torch.tensor(owner[:n]).view(-1, length)
    ### END SOLUTION


# %% name="packing-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_data_preprocessing", "packing", pack)

# %% [markdown] name="packing-hint-1"
# Build two long lists of the same length: the tokens, and for each its document. How long is a document with its
# separator?

# %% [markdown] name="packing-hint-2"
# The number of whole rows is the length of the stream divided by `length`, rounded down. Cut both lists there and
# use `view(-1, length)`.

# %% name="packing-parts"
packing = FunctionQuestion(
    "pack",
    returns=("rows", "numbers"),
    atol=0.0,
    because="token ids are whole numbers",
)


@packing.case(points=1)
def fits_exactly(draw):
    """three documents that fill two rows with nothing left"""
    return {"documents": [draw.order(30)[:n] + 1 for n in (3, 5, 1)], "length": 6, "separator": 0}


@packing.case(points=2)
def something_left(draw):
    """a document over three rows, and some tokens left at the end"""
    return {"documents": [draw.order(60)[:n] + 1 for n in (4, 17, 2, 6)], "length": 7, "separator": 70}


@packing.case(points=1)
def separator_inside(draw):
    """the separator's number stands inside a document as well"""
    return {
        "documents": [torch.tensor([5, 0, 6]), torch.tensor([0, 7]), draw.order(9) + 1],
        "length": 5,
        "separator": 0,
    }


# %% name="packing-mistake-early-jump"
# %%mistake packing
# The number jumps at the separator already. A separator belongs to the document that it ends. (And do not count
# separators: a document may hold this number itself.)
def pack(documents, length, separator):
    stream = torch.tensor([token for document in documents for token in (*document.tolist(), separator)])
    n = len(stream) // length * length
    return stream[:n].view(-1, length), (stream == separator).cumsum(0)[:n].view(-1, length)


# %% name="packing-mistake-no-separator"
# %%mistake packing
# There is no separator: the model cannot tell where a document ends.
def pack(documents, length, separator):
    stream = torch.cat(documents)
    owner = torch.tensor([k for k, document in enumerate(documents) for _ in range(len(document))])
    n = len(stream) // length * length
    return stream[:n].view(-1, length), owner[:n].view(-1, length)


# %% name="packing-mistake-separator-first"
# %%mistake packing
# The separator stands before each document. It comes after it, so that the model learns to end.
def pack(documents, length, separator):
    stream = [token for document in documents for token in (separator, *document.tolist())]
    owner = [k for k, document in enumerate(documents) for _ in range(len(document) + 1)]
    n = len(stream) // length * length
    return torch.tensor(stream[:n]).view(-1, length), torch.tensor(owner[:n]).view(-1, length)


# %% name="packing-mistake-rest-padded"
# %%mistake packing
# The rest is filled up with separators to one more row. It is to be dropped.
def pack(documents, length, separator):
    stream = [token for document in documents for token in (*document.tolist(), separator)]
    owner = [k for k, document in enumerate(documents) for _ in range(len(document) + 1)]
    short = -len(stream) % length
    stream, owner = stream + [separator] * short, owner + owner[-1:] * short
    return torch.tensor(stream).view(-1, length), torch.tensor(owner).view(-1, length)


# %% name="packing-mistake-numbers-by-row"
# %%mistake packing
# These are the numbers of the rows. A row may hold several documents, and a document several rows.
reference = pack


def pack(documents, length, separator):
    rows, _ = reference(documents, length, separator)
    return rows, torch.arange(len(rows))[:, None].repeat(1, length)


# %% name="packing-mistake-separators-counted"
# %%mistake packing
# The numbers are counted from the separators. A document may hold this number itself, and then the count jumps in its
# middle. Take the numbers from the documents.
def pack(documents, length, separator):
    stream = torch.tensor([token for document in documents for token in (*document.tolist(), separator)])
    ends, n = (stream == separator).long(), len(stream) // length * length
    return stream[:n].view(-1, length), (ends.cumsum(0) - ends)[:n].view(-1, length)


# %% name="packing-mistake-only-between"
# %%mistake packing
# Either the last document has no separator after it, or a last row that is full is dropped.
def pack(documents, length, separator):
    stream = [token for document in documents for token in (*document.tolist(), separator)][:-1]
    owner = [k for k, document in enumerate(documents) for _ in range(len(document) + 1)]
    n = len(stream) // length * length
    return torch.tensor(stream[:n]).view(-1, length), torch.tensor(owner[:n]).view(-1, length)


# %% name="packing-mistake-numbers-begin-again"
# %%mistake packing
# The numbers begin again at 0 in each row. Count the documents from the first row to the last.
reference = pack


def pack(documents, length, separator):
    rows, numbers = reference(documents, length, separator)
    return rows, numbers - numbers[:, :1]


# %% name="packing-other-cat"
# %%other packing
# With torch's own functions.
def pack(documents, length, separator):
    end = torch.tensor([separator])
    stream = torch.cat([part for document in documents for part in (document, end)])
    sizes = torch.tensor([len(document) + 1 for document in documents])
    owner = torch.repeat_interleave(torch.arange(len(documents)), sizes)
    n = len(stream) - len(stream) % length
    return stream[:n].reshape(-1, length), owner[:n].reshape(-1, length)


# %% name="packing-other-rows"
# %%other packing
# Token by token; a row is kept when it is full.
def pack(documents, length, separator):
    rows, numbers, row, number = [], [], [], []
    for k, document in enumerate(documents):
        for token in [*document.tolist(), separator]:
            row.append(token)
            number.append(k)
            if len(row) == length:
                rows.append(row)
                numbers.append(number)
                row, number = [], []
    return torch.tensor(rows), torch.tensor(numbers)


# %% name="packing-equivalent-scalars"
# %%equivalent packing
# A tensor of one number serves as well as the number.
stream = [token for document in documents for token in (*document, separator)]

# %% [markdown] name="tokenizer" question={"points": 5, "difficulty": 4, "minutes": 35, "section": "3.1"}
# ## 4. A tokenizer that has learned
#
# Write byte-pair encoding as a class, over characters. A blank is a character like any other: the text is not cut into
# words first. An object learns its merges **once**, from the text that it is made with; afterwards it cuts any text
# with them.
#
# | | | |
# | --- | --- | --- |
# | `PairTokenizer(text, merges)` | str, int | learns; the text has pairs enough for all merges |
# | `vocabulary` | list of str | the characters of the text in the order of `sorted`, then the new piece of each merge |
# | `pieces(text)` | returns list of str | the text cut: each merge in the order in which it was learned |
# | `encode(text)` | returns list of int | the place of each piece in `vocabulary` |
# | `decode(ids)` | returns str | the text |
#
# A merge joins the most frequent pair of neighbours; of equal ones that with the smaller left piece, then the smaller
# right piece (as Python compares texts). It joins from left to right, without overlap. `encode` raises a `ValueError`
# for a character that is not in the vocabulary.
#
# **What usually goes wrong:** a text is cut into the longest pieces of the vocabulary, or by its own frequencies; two
# tokenizers share one list; a character that nobody knows is left out in silence.


# %% name="tokenizer-answer"
class PairTokenizer:
    """Byte-pair encoding over characters: learned from one text, used on others."""

    def __init__(self, text: str, merges: int) -> None:
        ### BEGIN SOLUTION
        self.vocabulary = sorted(set(text))
        self.learned: list[tuple[str, str]] = []
        for _ in range(merges):
            counts = Counter(pairwise(self.pieces(text)))
            best = min(counts, key=lambda pair: (-counts[pair], pair))
            self.learned.append(best)
            self.vocabulary.append("".join(best))
        ### END SOLUTION

    def pieces(self, text: str) -> list[str]:
        """The text, cut by the merges in the order in which they were learned."""
        ### BEGIN SOLUTION
        cut = list(text)
        for pair in self.learned:
            joined: list[str] = []
            for piece in cut:
                joined.append(piece)
                if tuple(joined[-2:]) == pair:
                    joined[-2:] = ["".join(pair)]
            cut = joined
        return cut
        ### END SOLUTION

    def encode(self, text: str) -> list[int]:
        """The number of each piece. Raises ValueError for a character that is not in the vocabulary."""
        ### BEGIN SOLUTION
        return [self.vocabulary.index(piece) for piece in self.pieces(text)]
        ### END SOLUTION

    def decode(self, ids: list[int]) -> str:
        """The text of these numbers."""
        ### BEGIN SOLUTION
        return "".join(self.vocabulary[i] for i in ids)
        ### END SOLUTION


# %% name="tokenizer-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_data_preprocessing", "tokenizer", PairTokenizer)

# %% [markdown] name="tokenizer-hint-1"
# Keep two lists in the object: the vocabulary, and the merges in their order. To learn one more merge, cut the text
# with those that are there already, and count neighbours.

# %% [markdown] name="tokenizer-hint-2"
# To use a merge, go over the pieces and append each to a new list; whenever the last two are the pair, replace them by
# one. `list.index` raises the `ValueError` that `encode` needs.

# %% [markdown] name="tokenizer-hint-3"
# For a tie: of the keys (−count, pair), the smallest belongs to the most frequent pair, and of equal ones to the
# smaller left piece, then the smaller right piece. For an unknown character: a dictionary raises a `KeyError`, so test
# first and raise the `ValueError` yourself.

# %% name="tokenizer-parts"
from lmlib.course.questions import ClassQuestion
from lmlib.course.steps import call, do, new, read, refuses, steps

tokenizer = ClassQuestion("PairTokenizer", atol=0.0, because="pieces and their numbers are exact")

LOW = "low lower lowest slow slowest "


def words(draw, count):
    known = ["low", "owl", "slow", "owes", "wool", "sole", "lose", "sew", "else", "loose"]
    return " ".join(known[i] for _ in range(count) for i in draw.order(len(known)).tolist()[:4])


@tokenizer.case(points=1)
def learned(draw):
    """what is learned from a text: characters, then merges; from another text, one merge with a tie"""
    tie = new(text="acxabyaczabwbaubav", merges=1)
    return steps(new(text=LOW, merges=5), read("vocabulary"), tie, read("vocabulary"))


@tokenizer.case(points=1)
def other_texts(draw):
    """other texts are cut by the merges that were learned, in their order and from left to right"""
    made = new(text="xbcybczbcxabyabzddxddy", merges=3)
    drawn = "".join("abcbc"[i % 5] for i in draw.order(40).tolist())
    more = (call("pieces", text="dddabcddddd"), call("pieces", text="ab"), call("encode", text="zabcx"))
    return steps(made, call("pieces", text="abc"), call("pieces", text=drawn), *more)


@tokenizer.case(points=1)
def there_and_back(draw):
    """a text of many words, encoded and decoded"""
    text, other = words(draw, 12), words(draw, 3)
    return steps(
        new(text=text, merges=12), read("vocabulary"), call("encode", text=other), call("decode", ids=[3, 0, 9, 12, 2])
    )


@tokenizer.case(points=1)
def unknown(draw):
    """a character that is not in the vocabulary is refused, and changes nothing"""
    tries = (refuses("encode", text="lows!"), do("pieces", text="eeeeeeee"), call("encode", text="slower lower"))
    return steps(new(text=LOW, merges=4), *tries, read("vocabulary"))


@tokenizer.case(points=1)
def two_objects(draw):
    """two tokenizers that learned from different texts, one after the other"""
    first, second = new(text="ababab", merges=1), new(text="abcbcbcb", merges=1)
    return steps(first, call("pieces", text="bab"), second, read("vocabulary"), call("encode", text="abcbcab"))


# %% name="tokenizer-mistake-longest-piece"
# %%mistake tokenizer
# The merges are not used in the order in which they were learned: perhaps the longest piece is taken, or the first that
# fits. Where merges compete, the one that was learned first wins, also over a longer piece.
class PairTokenizer(PairTokenizer):
    learning = True

    def __init__(self, text, merges):
        super().__init__(text, merges)
        self.learning = False

    def pieces(self, text):
        if self.learning:
            return super().pieces(text)
        cut, place = [], 0
        while place < len(text):
            fitting = [piece for piece in self.vocabulary if text.startswith(piece, place)]
            cut.append(max(fitting, key=len) if fitting else text[place])
            place += len(cut[-1])
        return cut


# %% name="tokenizer-mistake-shared-list"
# %%mistake tokenizer
# The list of merges stands in the class, so all tokenizers share it: the second one begins with what the first has
# learned. Make the list in `__init__`.
class PairTokenizer(PairTokenizer):
    learned: ClassVar = []

    def __init__(self, text, merges):
        self.vocabulary = sorted(set(text))
        for _ in range(merges):
            counts = Counter(pairwise(self.pieces(text)))
            best = min(counts, key=lambda pair: (-counts[pair], pair))
            self.learned.append(best)
            self.vocabulary.append("".join(best))


# %% name="tokenizer-mistake-own-frequencies"
# %%mistake tokenizer
# Every text is cut by its own most frequent pairs. Then the same word has other numbers in each text, and a model
# cannot learn any of them. Cut with the merges that were learned.
class PairTokenizer:
    def __init__(self, text, merges):
        self.merges = merges
        self.vocabulary = sorted(set(text))
        self.pieces(text, self.vocabulary)

    def pieces(self, text, vocabulary=None):
        cut = list(text)
        for _ in range(self.merges):
            counts = Counter(pairwise(cut))
            if not counts:
                break
            best = min(counts, key=lambda pair: (-counts[pair], pair))
            if vocabulary is not None:
                vocabulary.append("".join(best))
            joined = []
            for piece in cut:
                joined.append(piece)
                if tuple(joined[-2:]) == best:
                    joined[-2:] = ["".join(best)]
            cut = joined
        return cut

    def encode(self, text):
        return [self.vocabulary.index(piece) if piece in self.vocabulary else 0 for piece in self.pieces(text)]

    def decode(self, ids):
        return "".join(self.vocabulary[i] for i in ids)


# %% name="tokenizer-mistake-in-silence"
# %%mistake tokenizer
# A character that is not in the vocabulary is accepted. Raise a `ValueError`: what is decoded would be another text,
# and nobody would be told.
class PairTokenizer(PairTokenizer):
    def encode(self, text):
        return [self.vocabulary.index(piece) for piece in self.pieces(text) if piece in self.vocabulary]


# %% name="tokenizer-mistake-order-of-text"
# %%mistake tokenizer
# The characters are numbered as they come in the text. Sort them, so that two texts with the same characters give them
# the same numbers.
class PairTokenizer(PairTokenizer):
    def __init__(self, text, merges):
        super().__init__(text, merges)
        characters = list(dict.fromkeys(text))
        self.vocabulary[: len(characters)] = characters


# %% name="tokenizer-mistake-first-of-equals"
# %%mistake tokenizer
# Of equally frequent pairs another one is taken, perhaps the first in the text. The smaller left piece must win, then
# the smaller right piece.
class PairTokenizer(PairTokenizer):
    def __init__(self, text, merges):
        self.vocabulary, self.learned = sorted(set(text)), []
        for _ in range(merges):
            best = Counter(pairwise(self.pieces(text))).most_common(1)[0][0]
            self.learned.append(best)
            self.vocabulary.append("".join(best))


# %% name="tokenizer-mistake-words-first"
# %%mistake tokenizer
# The text is cut into words first. Here a blank is a character like any other, and a merge may hold one.
class PairTokenizer(PairTokenizer):
    def __init__(self, text, merges):
        self.vocabulary, self.learned = sorted(set(text)), []
        for _ in range(merges):
            counts = Counter(pair for word in text.split() for pair in pairwise(self.pieces(word)))
            best = min(counts, key=lambda pair: (-counts[pair], pair))
            self.learned.append(best)
            self.vocabulary.append("".join(best))


# %% name="tokenizer-mistake-counted-once"
# %%mistake tokenizer
# The pairs are counted once. Each merge makes a new piece, and with it new pairs: count again after every merge.
class PairTokenizer(PairTokenizer):
    def __init__(self, text, merges):
        counts = Counter(pairwise(text))
        self.learned = sorted(counts, key=lambda pair: (-counts[pair], pair))[:merges]
        self.vocabulary = sorted(set(text)) + ["".join(pair) for pair in self.learned]


# %% name="tokenizer-other-numbers"
# %%other tokenizer
# Numbers all the way: merges of ids, and a dictionary from pieces to ids.
class PairTokenizer:
    def __init__(self, text, merges):
        self.vocabulary = sorted(set(text))
        self._pairs = []
        for _ in range(merges):
            ids, counts = self._cut(text), {}
            for pair in pairwise(ids):
                counts[pair] = counts.get(pair, 0) + 1
            ranked = sorted(counts, key=lambda p: (-counts[p], self.vocabulary[p[0]], self.vocabulary[p[1]]))
            left, right = ranked[0]
            self._pairs.append((left, right, len(self.vocabulary)))
            self.vocabulary.append(self.vocabulary[left] + self.vocabulary[right])

    def _cut(self, text):
        ids = [self.vocabulary.index(character) for character in text]
        for left, right, made in self._pairs:
            i = 0
            while i < len(ids) - 1:
                if ids[i] == left and ids[i + 1] == right:
                    ids[i : i + 2] = [made]
                i += 1
        return ids

    def pieces(self, text):
        return [self.vocabulary[i] for i in self._cut(text)]

    def encode(self, text):
        return self._cut(text)

    def decode(self, ids):
        text = ""
        for i in ids:
            text += self.vocabulary[i]
        return text


# %% name="tokenizer-other-replace"
# %%other tokenizer
# Pieces stand between marks in one long text, and a merge is a replacement of text.
class PairTokenizer:
    MARK = "\0"

    def __init__(self, text, merges):
        self.merged = []
        for _ in range(merges):
            cut = self.pieces(text)
            counts = Counter((cut[i], cut[i + 1]) for i in range(len(cut) - 1)).items()
            self.merged.append(min(counts, key=lambda item: (-item[1], item[0]))[0])
        self.vocabulary = [*sorted(set(text)), *(left + right for left, right in self.merged)]

    def pieces(self, text):
        marked = "".join(f"{self.MARK}{character}{self.MARK}" for character in text)
        for left, right in self.merged:
            apart = f"{self.MARK}{left}{self.MARK}{self.MARK}{right}{self.MARK}"
            marked = marked.replace(apart, f"{self.MARK}{left}{right}{self.MARK}")
        return [piece for piece in marked.split(self.MARK) if piece]

    def encode(self, text):
        number = {piece: i for i, piece in reversed(list(enumerate(self.vocabulary)))}
        if unknown := set(text) - set(number):
            raise ValueError(f"unknown: {sorted(unknown)}")
        return [number[piece] for piece in self.pieces(text)]

    def decode(self, ids):
        return "".join(map(self.vocabulary.__getitem__, ids))


# %% [markdown] name="measures" question={"points": 3, "difficulty": 3, "minutes": 15, "section": "3.1"}
# ## 5. Measures, and a leak
#
# A Chinese text has 1000 characters, all of three bytes. A tokenizer makes 750 tokens of it. A model has a mean loss of
# 2.8 nats for each token. How many `bits_per_byte` are these? (1 nat is 1 / ln 2 bits; give three digits.) And what is
# the `fertility`, in tokens for each character?
#
# **Which of these steps lets knowledge of the test set leak into training?** Set `leak` to its letter.
#
# - **a** Equal documents are removed first, then the rest is split.
# - **b** The split is by document, and the tokenizer is trained on the training part.
# - **c** Each document is cut into lines, and the lines are split at random.
# - **d** The test documents are those of the last month.

# %% name="measures-answer"
bits_per_byte = None  # a number
fertility = None  # a number
leak = ""  # the letter
### BEGIN SOLUTION
bits_per_byte = 1.01  # 750 · 2.8 / ln 2 bits in 3000 bytes
fertility = 0.75
leak = "c"
### END SOLUTION

# %% name="measures-check" tags=["nbval-check-output"]
from lmlib.course.checks import check

check("01_data_preprocessing", "measures", bits_per_byte=bits_per_byte, fertility=fertility, leak=leak)

# %% [markdown] name="measures-hint-1"
# First the loss of the whole text: tokens times nats. Then bits. Then divide by the bytes.

# %% [markdown] name="measures-hint-2"
# What do two lines of one document have in common, when one is in the training set and one in the test set?

# %% name="measures-parts"
measures = ValueQuestion()
measures.number("bits_per_byte", points=1, title="the bits per byte")
measures.number("fertility", points=1, title="the tokens for each character")
measures.choice("leak", "abcd", points=1, title="the step that leaks")

# %% name="measures-mistake-bits-per-character"
# %%mistake measures
# These are bits for each character. A character has three bytes here.
bits_per_byte = 750 * 2.8 / math.log(2) / 1000

# %% name="measures-mistake-bits-per-token"
# %%mistake measures
# These are bits for each token. The measure that no tokenizer can change divides by bytes.
bits_per_byte = 2.8 / math.log(2)

# %% name="measures-mistake-nats"
# %%mistake measures
# These are nats for each byte. Divide by ln 2.
bits_per_byte = 0.7

# %% name="measures-mistake-times-ln-2"
# %%mistake measures
# Divide by ln 2; do not multiply. A nat is more than a bit.
bits_per_byte = 0.7 * math.log(2)

# %% name="measures-mistake-characters-for-tokens"
# %%mistake measures
# The loss is for each token, and there are 750 of them, not 1000.
bits_per_byte = 1000 * 2.8 / math.log(2) / 3000

# %% name="measures-mistake-one-digit"
# %%mistake measures
# Give three digits.
bits_per_byte = 1.0

# %% name="measures-mistake-upside-down"
# %%mistake measures
# These are characters for each token, the other way round.
fertility = 1000 / 750

# %% name="measures-mistake-per-byte"
# %%mistake measures
# These are tokens for each byte.
fertility = 0.25

# %% name="measures-mistake-percent"
# %%mistake measures
# These are tokens for 100 characters. Give the number for one.
fertility = 75

# %% name="measures-mistake-dedup"
# %%mistake measures
# Removing equal documents first is what prevents a leak.
leak = "a"

# %% name="measures-mistake-by-document"
# %%mistake measures
# Nothing of the test part was used here.
leak = "b"

# %% name="measures-mistake-by-date"
# %%mistake measures
# A split by date is the strictest of the four: the model is asked about what came later.
leak = "d"

# %% name="measures-other-worked-out"
# %%other measures
# The numbers as they are worked out.
bits_per_byte = 2.8 * math.log2(math.e) * 750 / (3 * 1000)
fertility = 750 / 1000
leak = "(C)"

# %% name="measures-other-tensors"
# %%other measures
# The numbers as tensors.
bits_per_byte = torch.tensor(2.8).div(math.log(2)) / 4
fertility = torch.tensor(3) / 4
leak = " c."

# %% [markdown] name="end"
# ## Done?
#
# `hint("01_data_preprocessing", "merge", 1)` gives a first hint; each question has two or three. `lmbook check` on this
# notebook runs all of it again from the start, and `lmbook progress` says what is worth doing next.
