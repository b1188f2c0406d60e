"""Data between the child and the checker: what is sent arrives, and what nobody sends is refused."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmlib.course.findings import described
from lmlib.course.outside import wire
from lmlib.course.outside.answers import limited
from lmlib.course.plain_data import same
from lmlib.course.warm.frames import Frame

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(PLAIN)
def test_plain_data_arrive_as_they_were(value):
    assert wire.unpack(*wire.pack(value)) == value


@pytest.mark.parametrize("dtype", wire.DTYPES.values(), ids=str)
def test_tensors_arrive_bit_for_bit(dtype):
    for shape in ((), (0, 3), (2, 3)):
        tensor = torch.arange(1, 7)[: max(1, int(np.prod(shape)))].to(dtype)
        tensor = tensor.reshape(shape) if np.prod(shape) == tensor.numel() else torch.empty(shape, dtype=dtype)
        assert same(wire.unpack(*wire.pack({"a": tensor, "b": [tensor.clone()]}))["a"], tensor)
    strange = torch.tensor([float("nan"), float("inf"), -0.0])
    assert same(wire.unpack(*wire.pack(strange)), strange)


def test_a_finding_reads_the_same_whatever_was_returned():
    sparse = torch.eye(2).to_sparse()
    values = (torch.ones(2, requires_grad=True), sparse, np.ones((2, 3)), np.float32(1), object(), {"a": 1}, [1], 1.5)
    for value in values:
        assert described(wire.unpack(*wire.pack(value))) == described(value)
    assert wire.unpack(*wire.pack(torch.ones(2, requires_grad=True))).requires_grad
    assert wire.unpack(*wire.pack(sparse)).layout == torch.sparse_coo


@pytest.mark.parametrize(
    ("said", "data"),
    [
        (5, b""),
        ("text", b""),
        ({"tensor": {"shape": [2], "dtype": "float32", "bytes": 9}}, b"0" * 9),
        ({"tensor": {"shape": [1 << 31, 1 << 31], "dtype": "float32", "bytes": 4}}, b"0000"),
        ({"tensor": {"shape": [-1], "dtype": "float32", "bytes": -4}}, b""),
        ({"tensor": {"shape": [True], "dtype": "float32", "bytes": 4}}, b"0000"),
        ({"tensor": {"shape": [1], "dtype": "object", "bytes": 8}}, b"0" * 8),
        ({"tensor": {"shape": [1], "dtype": "bool", "bytes": 1}}, b"\x07"),
        ({"int": "0x"}, b""),
        ({"float": "zz"}, b""),
        ({"pickle": "gASV"}, b""),
        ({"list": [], "tuple": []}, b""),
        (None, b"left over"),
        ({"list": [None] * 20_000}, b""),
    ],
)
def test_what_nobody_sends_is_refused(said, data):
    with pytest.raises(wire.WireError):
        wire.unpack(said, data)


def test_an_answer_that_is_too_large_or_too_deep_is_replaced_before_the_checker():
    deep: list = []
    for _ in range(500):
        deep = [deep]
    for answer in (Frame({"value": deep}), Frame({"value": "x" * (2 << 20)}), Frame({}, bytes(5 << 20))):
        assert limited(answer).header["raised"] == "ValueError"
    good = Frame({"value": {"list": [None]}}, b"0000")
    assert limited(good) is good
