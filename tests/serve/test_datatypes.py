"""Datatypes of the protocol: every value survives the wire, the wrong lengths do not."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from steelyard.errors import InputError
from steelyard.records.engine import Array
from steelyard.serve.datatypes import (
    BF16,
    DATATYPES,
    accepts,
    array_of,
    datatype,
    datatype_of,
    packed_text,
    raw_of,
    unpacked_text,
)

FP32 = DATATYPES["FP32"]
NUMBERS = [each for each in DATATYPES.values() if each.kind != "t" and each is not BF16]


def as_bytes(raw: bytes | Array) -> bytes:
    return raw if isinstance(raw, bytes) else raw.tobytes()


@settings(deadline=None)
@given(st.data())
def test_numbers_survive_the_wire_bit_by_bit(data: Any) -> None:
    kind = data.draw(st.sampled_from(NUMBERS))
    array = data.draw(arrays.arrays(kind.dtype, arrays.array_shapes(max_dims=4, max_side=5)))
    raw = as_bytes(raw_of(array, kind))
    assert len(raw) == array.size * kind.size
    back = array_of(raw, kind, array.shape, kind)
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_survive_the_wire(texts: list[str]) -> None:
    array = np.array([*texts, None], dtype=object)[:-1]
    kind = DATATYPES["BYTES"]
    assert list(array_of(as_bytes(raw_of(array, kind)), kind, [len(texts)], kind)) == texts


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 2**62))
def test_bytes_that_are_no_texts_are_refused_before_room_is_made(raw: bytes, count: int) -> None:
    with contextlib.suppress(ValueError):
        assert packed_text(unpacked_text(raw, count)).tobytes() == raw


def test_texts_whose_lengths_lie_are_refused() -> None:
    packed = packed_text(np.array(["ab", "c"], dtype=object)).tobytes()
    for raw, count in ((packed, 1), (packed, 3), (packed[:-1], 2), (packed + b"x", 2), (b"\xff\xff\xff\xff", 1)):
        with pytest.raises(ValueError, match="text"):
            unpacked_text(raw, count)


@pytest.mark.parametrize(
    ("number", "nearest"),
    [
        (1.0, 1.0),
        (-0.0, -0.0),
        (3.14159265, 3.140625),
        (1.00390625, 1.0),  # half-way: to the even one below
        (1.01171875, 1.015625),  # half-way: to the even one above
        (3.4e38, float("inf")),
        (float("inf"), float("inf")),
    ],
)
def test_bf16_takes_the_nearest(number: float, nearest: float) -> None:
    raw = as_bytes(raw_of(np.array([number], np.float32), BF16))
    back = array_of(raw, BF16, [1], FP32)
    assert back.dtype == np.float32
    assert back.tobytes() == np.array([nearest], np.float32).tobytes()


def test_bf16_agrees_with_the_package_that_knows_it() -> None:
    known = pytest.importorskip("ml_dtypes")
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    numbers = bits[np.isfinite(bits)]
    with np.errstate(over="ignore"):
        assert as_bytes(raw_of(numbers, BF16)) == numbers.astype(known.bfloat16).tobytes()
    assert as_bytes(raw_of(numbers[:9].astype(known.bfloat16), BF16)) == numbers[:9].astype(known.bfloat16).tobytes()
    assert datatype_of(np.dtype(known.bfloat16)) == "BF16"


def test_nan_stays_nan_in_bf16() -> None:
    patterns = np.array([0x7FC00000, 0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(array_of(as_bytes(raw_of(patterns, BF16)), BF16, [3], FP32)).all()


@pytest.mark.parametrize("given_name", ["FP16", "BF16", "FP32", "FP64"])
@pytest.mark.parametrize("taken_name", ["FP16", "FP32", "FP64"])
def test_floats_become_what_the_model_takes(given_name: str, taken_name: str) -> None:
    sent, taken = DATATYPES[given_name], DATATYPES[taken_name]
    numbers = np.array([[0.5, -2.0], [3.0, 0.0]])
    assert accepts(taken, sent)
    got = array_of(as_bytes(raw_of(numbers, sent)), sent, [2, 2], taken)
    assert got.dtype == taken.dtype
    np.testing.assert_array_equal(got, numbers)


def test_a_number_too_large_for_the_model_is_refused() -> None:
    with pytest.raises(InputError, match="too large for FP32"):
        array_of(np.array([1e300]).tobytes(), DATATYPES["FP64"], [1], FP32)


def test_integers_are_taken_as_the_same_datatype_only() -> None:
    for name in ("INT32", "UINT8", "BOOL", "FP32", "BYTES"):
        assert not accepts(DATATYPES["INT64"], DATATYPES[name])
    assert accepts(DATATYPES["INT64"], DATATYPES["INT64"])


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_wrong_number_of_bytes_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"has 16 bytes, {size} came"):
        array_of(bytes(size), FP32, [2, 2], FP32)


def test_a_shape_whose_product_overflows_is_refused() -> None:
    for shape in ([2**62, 2**62], [2**32, 2**32], [2**61]):
        for name in ("FP32", "BYTES"):
            with pytest.raises(InputError):
                array_of(b"\0" * 16, DATATYPES[name], shape, DATATYPES[name])


def test_an_array_that_starts_anywhere_is_aligned() -> None:
    raw = memoryview(b"\0" + np.arange(4, dtype=np.float32).tobytes())[1:]
    array = array_of(raw, FP32, [4], FP32)
    assert array.flags.aligned
    np.testing.assert_array_equal(array, np.arange(4))


def test_an_aligned_array_is_not_copied() -> None:
    raw = np.arange(4, dtype=np.float32).tobytes()
    assert np.shares_memory(array_of(raw, FP32, [4], FP32), np.frombuffer(raw, np.uint8))


def test_texts_that_are_not_utf8_are_refused() -> None:
    with pytest.raises(InputError, match="UTF-8"):
        array_of(b"\1\0\0\0\xff", DATATYPES["BYTES"], [1], DATATYPES["BYTES"])


def test_every_datatype_has_a_name_and_no_other() -> None:
    for each in NUMBERS:
        assert datatype_of(each.dtype) == datatype_of(each.dtype.name) == each.name
    for text in ("object", "<U5", "S3"):
        assert datatype_of(np.dtype(text)) == "BYTES"
    with pytest.raises(InputError, match="complex64"):
        datatype_of(np.dtype("complex64"))
    with pytest.raises(InputError, match="unknown datatype 'FP8'"):
        datatype("FP8")


def test_encoding_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw_of(np.array([np.nan, 3e38], np.float32), BF16)
