"""Data of checks: what is written is read back; a fingerprint recognises an outcome and does not give it away."""

import json

import numpy as np
import pytest
import torch

from lmlib.course.outside import wire
from lmlib.course.plain_data import (
    Outcome,
    decode,
    digest,
    encode,
    fingerprint,
    in_dtypes_of,
    is_specific,
    matches,
    same,
    to_double,
)


def test_encoded_data_are_read_back_through_json(seed):
    torch.manual_seed(seed)
    data = (torch.randn(2, 3), torch.tensor([True, False]), [1, 2.5, "a", None, True], torch.arange(3), {"a": [1]})
    read = decode(json.loads(json.dumps(encode(data, data))))
    assert torch.allclose(read[0], data[0], atol=1e-7)
    assert [x.dtype for x in (read[0], read[1], read[3])] == [torch.float32, torch.bool, torch.int64]
    assert read[1].equal(data[1])
    assert read[2] == data[2]
    assert read[3].equal(data[3])
    assert read[4] == data[4]


def test_double_precision_values_keep_the_dtype_of_the_single_precision_run():
    single = torch.tensor([1 / 3])
    written = encode(to_double(torch.tensor([1.0])) / 3, single)
    assert written == {"tensor": "0.33333333", "shape": [1], "dtype": "float32"}


@pytest.mark.parametrize("value", [object(), float("nan"), torch.tensor([float("inf")])])
def test_what_is_no_plain_data_is_refused(value):
    with pytest.raises(TypeError, match=r"plain data|cannot be an expected value"):
        encode(value, value)


def test_rounding_noise_around_zero_is_written_as_zero():
    assert encode(torch.tensor([-1e-17, 1e-12]), torch.zeros(2))["tensor"] == "0 0"


def test_fingerprint_matches_the_same_outcome_up_to_float32_rounding(seed):
    torch.manual_seed(seed)
    x = torch.randn(4, 5)
    mark = fingerprint(Outcome(x), "q/c")
    assert matches(fingerprint(Outcome(x * (1 + 1e-6)), "q/c"), mark)
    assert not matches(fingerprint(Outcome(x * 1.01), "q/c"), mark)
    assert not matches(fingerprint(Outcome(x.T), "q/c"), mark)
    assert not matches(fingerprint(Outcome(x.double()), "q/c"), mark)
    assert not matches(fingerprint(Outcome(x.where(x < x.max(), torch.nan)), "q/c"), mark)


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (2, 5)])
def test_fingerprint_has_fewer_numbers_than_the_tensor(shape):
    x = torch.arange(1.0, 1 + torch.Size(shape).numel()).reshape(shape) + 0.1234567
    mark = fingerprint(Outcome(x), "q/c")
    assert len(mark.get("projections", [])) < x.numel()
    assert "1.12" not in json.dumps(mark)


def test_exceptions_are_recognised_by_their_type():
    mark = fingerprint(Outcome(raised="ValueError", sentence="one"), "q/c")
    assert matches(fingerprint(Outcome(raised="ValueError", sentence="two"), "q/c"), mark)
    assert not matches(fingerprint(Outcome(raised="TypeError"), "q/c"), mark)


def test_digest_tells_numbers_apart_to_three_digits_and_not_beyond():
    assert digest(64, "s") == digest(64.0, "s") == digest(64.04, "s")
    assert digest(64, "s") != digest(65, "s")
    assert digest(True, "s") != digest(1, "s")
    assert digest(64, "s") != digest(64, "t")


def test_double_run_gives_way_where_it_differs_in_more_than_rounding():
    single = fingerprint(Outcome(torch.full((3,), torch.nan)), "s")
    assert in_dtypes_of(fingerprint(Outcome(torch.ones(3, dtype=torch.float64)), "s"), single) == single


def test_nan_is_the_same_as_nan_and_other_dtypes_differ():
    x = torch.tensor([1.0, torch.nan])
    assert same({"x": x}, {"x": x.clone()})
    assert not same(x, torch.tensor([1.0, 2.0]))
    assert not same(torch.ones(2), torch.ones(2, dtype=torch.float64))


def test_lists_of_pieces_and_dicts_are_recognised_and_not_given_away():
    pieces = ["low", "er", " ", "slow"]
    mark = fingerprint(Outcome([pieces, {"x": torch.arange(3.0), "y": 1}]), "q/c")
    assert matches(fingerprint(Outcome([list(pieces), {"y": 1, "x": torch.arange(3.0)}]), "q/c"), mark)
    for other in ([pieces[::-1], {}], [pieces, {"x": torch.arange(3.0)}], [pieces, {"x": torch.ones(3), "y": 1}]):
        assert not matches(fingerprint(Outcome(other), "q/c"), mark)
    assert "low" not in json.dumps(mark)
    assert is_specific(mark[:1])
    assert not is_specific(fingerprint(Outcome([1, 2]), "q/c"))


def test_an_array_is_known_by_its_shape_and_is_never_written_out():
    inside, outside = np.ones((2, 3)), wire.unpack(*wire.pack(np.zeros((2, 3))))
    marks = [fingerprint(Outcome(each), "q/c") for each in (inside, outside)]
    assert matches(*marks)
    assert "digest" not in marks[0]
