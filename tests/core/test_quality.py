"""Quality codes of each scheme, by the bits that the specifications give."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.validate.quality import normalise

GOOD, UNCERTAIN, BAD = 0, 1, 2
LONGS = st.integers(-(2**63), 2**63 - 1)


def grades(*codes: tuple[int | None, str | None]) -> list[tuple[int, int | None, int, bool]]:
    """(quality, quality_raw, quality_scheme, forced) of each (code, scheme)."""
    frame = pl.DataFrame(list(codes), {"quality_raw": pl.Int64, "quality_scheme": pl.String}, orient="row")
    return normalise(frame).select("quality", "quality_raw", "quality_scheme", "forced").rows()


@pytest.mark.parametrize(
    ("code", "scheme", "quality"),
    [
        (0x00000000, "opcua", GOOD),
        (0x00000400, "opcua", GOOD),
        (0x40000000, "opcua", UNCERTAIN),
        (0x40920000, "opcua", UNCERTAIN),
        (0x80000000, "opcua", BAD),
        (0x80AB0000, "opcua", BAD),
        (0x80AB0000 - 2**32, "opcua", BAD),  # the same 32 bits, signed
        (0xC0000000, "opcua", BAD),
        (192, "opcua", GOOD),  # its bits 31-30 are 00, whatever they are in DA
        (192, "opcda", GOOD),
        (0xFF00 | 192, "opcda", GOOD),  # the high byte is the vendor's
        (64, "opcda", UNCERTAIN),
        (0, "opcda", BAD),
        (24, "opcda", BAD),
        (128, "opcda", BAD),
        (192, "sparkplug", GOOD),
        (0, "sparkplug", BAD),
        (500, "sparkplug", UNCERTAIN),
        (64, "sparkplug", UNCERTAIN),
        (192, None, UNCERTAIN),
        (0, "iec61850", UNCERTAIN),
        (None, None, GOOD),
        (None, "opcua", GOOD),
        (None, "sparkplug", GOOD),
        (None, "opcda", UNCERTAIN),
        (None, "iec61850", UNCERTAIN),
    ],
)
def test_each_code_has_one_meaning(code: int | None, scheme: str | None, quality: int) -> None:
    """Bits 31-30 in OPC UA, bits 7-6 in OPC DA, three numbers in Sparkplug; alone and among others."""
    number = {"opcua": 1, "opcda": 2, "sparkplug": 3}.get(scheme or "", 0)
    expected = (quality, code, number, False)
    assert grades((code, scheme)) == [expected]
    assert grades((None, None), (code, scheme), (0, "opcda"))[1] == expected


@pytest.mark.parametrize("code", [216, 217, 218, 219, 0xAB00 | 216])
def test_a_local_override_is_good_and_forced(code: int) -> None:
    """OPC DA 216, whatever its limit bits or the vendor's byte; the same number is no override elsewhere."""
    assert grades((code, "opcda")) == [(GOOD, code, 2, True)]
    assert not grades((code, "opcua"))[0][3]
    assert not grades((code, "sparkplug"))[0][3]


@given(st.integers(0, 3), st.integers(0, 2**30 - 1))
def test_low_bits_of_opcua_do_not_change_the_meaning(severity: int, rest: int) -> None:
    """Only the two severity bits decide."""
    assert grades((severity * 2**30 + rest, "opcua")) == [
        ((GOOD, UNCERTAIN, BAD, BAD)[severity], severity * 2**30 + rest, 1, False)
    ]


@given(st.lists(st.tuples(st.none() | LONGS, st.sampled_from([None, "opcua", "opcda", "sparkplug", "?"]))))
def test_rows_are_graded_one_by_one(codes: list[tuple[int | None, str | None]]) -> None:
    """What a row means does not depend on its neighbours, and the code is kept as sent."""
    assert grades(*codes) == [grades(code)[0] for code in codes]
    assert [row[1] for row in grades(*codes)] == [code for code, _ in codes]
