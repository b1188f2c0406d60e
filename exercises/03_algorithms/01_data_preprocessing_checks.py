"""The checks of 03_algorithms/01_data_preprocessing: how inputs are drawn, and what every right outcome has.

Made by `lmbook release` from the instructor's notebook.
"""

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
    return {"ids": torch.tensor([5, 8, 9, 3, 4, 8, 9, 6, 2, 8, 9, 7]), "new_id": 10}


@merge.case(points=1)
def runs(draw):
    """runs of the same token, of odd and even length"""
    return {"ids": torch.tensor([7, 7, 7, 3, 7, 7, 7, 7, 2]), "new_id": 11}


@merge.case(points=1)
def ties(draw):
    """two pairs that are equally frequent; the one that comes later has the smaller ids"""
    return {"ids": torch.tensor([9, 8, 4, 9, 8, 5, 2, 3, 6, 2, 3]), "new_id": 12}


@merge.case(points=1)
def random_text(draw):
    """a random text of 200 tokens over six ids"""
    return {"ids": torch.cat([draw.order(6) for _ in range(30)] + [draw.order(20) % 3]), "new_id": 6}


@merge.invariant
def nothing_lost(got, inputs):
    """the new token stands for two, so the number of tokens must come out right"""
    return len(got[1]) + int((got[1] == inputs["new_id"]).sum()) == len(inputs["ids"])


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
    """the last real token of each row must be the end token"""
    ids, mask, _ = got
    return all(bool(m.any()) and int(row[m][-1]) == inputs["end_id"] for row, m in zip(ids, mask, strict=True))


@batch.invariant
def padding_not_learned(got, inputs):
    """a label must be -100 at padding, and nowhere else"""
    return torch.equal(got[2] == -100, ~got[1])


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
    return {"documents": [draw.order(60)[:n] + 1 for n in (4, 17, 2, 6)], "length": 7, "separator": 0}


@packing.case(points=1)
def separator_inside(draw):
    """the separator's number stands inside a document as well"""
    return {
        "documents": [torch.tensor([5, 0, 6]), torch.tensor([0, 7]), draw.order(9) + 1],
        "length": 5,
        "separator": 0,
    }


measures = ValueQuestion()
measures.number("bits_per_byte", points=1, title="the bits per byte")
measures.number("fertility", points=1, title="the tokens for each character")
measures.choice("leak", "abcd", points=1, title="the step that leaks")
