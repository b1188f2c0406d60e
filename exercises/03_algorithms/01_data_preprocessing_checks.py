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


measures = ValueQuestion()
measures.number("bits_per_byte", points=1, title="the bits per byte")
measures.number("fertility", points=1, title="the tokens for each character")
measures.choice("leak", "abcd", points=1, title="the step that leaks")
