"""Quality codes: enters what a source sent (code, scheme name), leaves good/uncertain/bad, scheme number, forced.

Rules, per scheme (facts from the specifications' own tables; what they leave open is decided here and said):
- OPC UA status code (OPC 10000-4, severity): bits 31-30 are 00 good, 01 uncertain, 10 bad; 11 is reserved and read as
  bad. The low bits do not change the meaning; the code may be sent as signed or unsigned 32 bits. No code: good
  (a server omits the status code where it is good, OPC 10000-6).
- OPC DA quality (low byte QQSSSSLL): 11 good, 01 uncertain, 00 bad, 10 is not used and read as bad. Good with substatus
  0110 (216) is a local override: good, and flagged as forced. No code: uncertain, DA always sends one.
- Sparkplug `Quality` property: 0 bad, 192 good, 500 stale. A stale value is the last one that was known and nobody
  confirms it: uncertain, as any other code. No code: good.
- No scheme and no code: good. A code without a scheme, or of an unknown scheme: uncertain, because 0 is good in one
  scheme and bad in another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core.frames import BAD, GOOD, SCHEME_NONE, SCHEME_OPCDA, SCHEME_OPCUA, SCHEME_SPARKPLUG, UNCERTAIN

Codes = npt.NDArray[np.int64]
Grades = npt.NDArray[np.int8]

# Position plus one is the scheme's number in `frames`.
_NAMES: Final = pl.Enum(["opcua", "opcda", "sparkplug"])
_UNKNOWN: Final = 4
# What two bits 0..3 mean.
_SEVERITY: Final = np.array([GOOD, UNCERTAIN, BAD, BAD], np.int8)
_DA_QUALITY: Final = np.array([BAD, UNCERTAIN, BAD, GOOD], np.int8)
_DA_LOCAL_OVERRIDE: Final = 0b11_0110_00
_DA_WITHOUT_LIMITS: Final = 0b11_1111_00


def _sparkplug(codes: Codes) -> Grades:
    return np.where(codes == 192, np.int8(GOOD), np.where(codes == 0, np.int8(BAD), np.int8(UNCERTAIN)))


# By scheme: the grade of a code, and of no code.
_GRADES: Final[dict[int, tuple[Callable[[Codes], Grades], int]]] = {
    SCHEME_NONE: (lambda codes: np.full(len(codes), UNCERTAIN, np.int8), GOOD),
    SCHEME_OPCUA: (lambda codes: _SEVERITY[(codes >> 30) & 3], GOOD),
    SCHEME_OPCDA: (lambda codes: _DA_QUALITY[(codes >> 6) & 3], UNCERTAIN),
    SCHEME_SPARKPLUG: (_sparkplug, GOOD),
    _UNKNOWN: (lambda codes: np.full(len(codes), UNCERTAIN, np.int8), UNCERTAIN),
}


def normalise(frame: pl.DataFrame) -> pl.DataFrame:
    """Quality of each row of `frame` (quality_raw Int64, quality_scheme String; other columns are ignored).

    Returns, in the same order: quality (Int8: GOOD, UNCERTAIN, BAD), quality_raw (as sent), quality_scheme (Int8:
    SCHEME_...), forced (Boolean: a local override).
    """
    raw, names = frame["quality_raw"], frame["quality_scheme"]
    if raw.null_count() == frame.height == names.null_count():
        none = np.zeros(frame.height, np.int8)  # GOOD, SCHEME_NONE
        return pl.DataFrame(
            {"quality": none, "quality_raw": raw, "quality_scheme": none, "forced": none.astype(np.bool_)}
        )
    absent = raw.is_null().to_numpy()
    scheme = np.zeros(frame.height, np.int8)
    if names.null_count() < frame.height:
        number = (names.cast(_NAMES, strict=False).to_physical().cast(pl.Int8) + 1).fill_null(_UNKNOWN)
        scheme = np.where(names.is_null().to_numpy(), np.int8(SCHEME_NONE), number.to_numpy())
    codes = raw.fill_null(0).to_numpy()
    quality = np.empty(frame.height, np.int8)
    for number_, (grade, without) in _GRADES.items():
        rows = np.flatnonzero(scheme == number_)
        if len(rows):
            quality[rows] = np.where(absent[rows], np.int8(without), grade(codes[rows]))
    forced = (scheme == SCHEME_OPCDA) & ((codes & _DA_WITHOUT_LIMITS) == _DA_LOCAL_OVERRIDE)
    return pl.DataFrame(
        {
            "quality": quality,
            "quality_raw": raw,
            "quality_scheme": np.where(scheme == _UNKNOWN, np.int8(SCHEME_NONE), scheme),
            "forced": forced,
        }
    )
