"""What a raw value means: enters known readings with their signal's attributes, leaves published values and verdicts.

Exactly one of value_double, value_long and value_string is set, or none. By role of the signal:
- measurement, setpoint: value_double = sent value * factor + offset. A boolean without factor and offset stays an
  integer, 0 or 1, in value_long. A text that is a decimal number is that number.
- counters: an integer (or boolean, or a text of digits) without factor and offset is kept exactly, in value_long, and
  never passes through a float: 64-bit counters pass 2^53. Anything else is value_double, scaled.
- state, alarm, batch_id, phase: value_string, the label that the enumeration has for the raw value as text (integers in
  decimal, an integral double as integer, a boolean as true/false, then 1/0). Without an enumeration the text itself;
  one that the enumeration does not have passes as it is, and as uncertain.
Raw bytes are UTF-8 text of a batch_id or phase, and nothing else. Of several sent values the first of double, long,
bool, string, bytes counts. A number that is not finite is no value: the reading stays, bad and empty, so that the gap
shows.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from streams.core.frames import ID
from streams.core.validate.lookup import COUNTER, LABEL, Ints, Lookup

# Doubles beyond it no longer tell neighbouring integers apart.
EXACT_LIMIT: Final = 2.0**53
# A label stays in memory as long as the process: what is longer (bytes of UTF-8) is no label.
LABEL_LIMIT: Final = 1_024
DECIMAL: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
DIGITS: Final = r"^[+-]?[0-9]+$"

VALUES: Final = pl.Schema(
    {
        "value_double": pl.Float64(),
        "value_long": pl.Int64(),
        "value_bool": pl.Boolean(),
        "value_string": pl.String(),
        "value_bytes": pl.Binary(),
    }
)
# What `interpret` leaves: published values, and what is to be said about them.
INTERPRETED: Final = pl.Schema(
    {
        "value_double": pl.Float64(),
        "value_long": pl.Int64(),
        "value_string": ID,
        "missing": pl.Boolean(),  # nothing was sent
        "mismatch": pl.Boolean(),  # what was sent cannot be read as what the role asks for
        "not_finite": pl.Boolean(),  # not a number, or infinite
        "unmapped": pl.Boolean(),  # a text that the enumeration does not have
    }
)
_NO: Final = pl.lit(value=False)


class _Sent:
    """The columns of VALUES that hold anything; the others cost nothing and read as null."""

    def __init__(self, raw: pl.DataFrame) -> None:
        self.columns = [raw[name] for name in VALUES if raw[name].null_count() < raw.height]
        names = {column.name for column in self.columns}
        self.any_words = bool(names & {"value_string", "value_bytes"})
        self.exprs = [
            pl.col(name) if name in names else pl.lit(None, dtype).alias(name) for name, dtype in VALUES.items()
        ]


def interpret(raw: pl.DataFrame, rows: Ints, lookup: Lookup) -> pl.DataFrame:
    """INTERPRETED for each row of `raw` (VALUES); `rows`: places of its signals in `Lookup.rows`, none unknown."""
    sent = _Sent(raw)
    scale = lookup.take(rows, "kind", "factor", "offset", "exact")
    frame = pl.DataFrame([*sent.columns, *scale])
    label = scale["kind"] == LABEL
    # Most rows are numbers: they are worked out for all rows, then the other groups take the places of theirs.
    parts = [_numbers(frame, sent)]
    order = np.arange(raw.height)
    done = raw.height
    for places, part in ((label.arg_true(), _labels), (_words(frame, sent, ~label), _number_texts)):
        if len(places):
            parts.append(part(frame[places], sent, rows[places.to_numpy()], lookup))
            order[places.to_numpy()] = np.arange(done, done + len(places))
            done += len(places)
    return parts[0] if len(parts) == 1 else pl.concat(parts, rechunk=True)[order]


def _words(frame: pl.DataFrame, sent: _Sent, among: pl.Series) -> pl.Series:
    """Places of the rows that came as text or bytes."""
    if not sent.any_words:
        return pl.Series([], dtype=pl.UInt32)
    double, integer, boolean, string, raw = sent.exprs
    no_number = double.is_null() & integer.is_null() & boolean.is_null()
    return frame.select(no_number & (string.is_not_null() | raw.is_not_null()) & among).to_series().arg_true()


def _numbers(frame: pl.DataFrame, sent: _Sent) -> pl.DataFrame:
    """Of measurements, setpoints and counters: what was sent as a number, or not at all."""
    double, integer, boolean, _, _ = sent.exprs
    if [column.name for column in sent.columns] == ["value_double"]:
        return _published(frame.select(double.alias("number"), "factor", "offset"))
    counted = (pl.col("kind") == COUNTER) & integer.is_not_null()
    whole = double.is_null() & (counted | (integer.is_null() & boolean.is_not_null())) & pl.col("exact")
    return _published(
        frame.select(
            pl.when(~whole)
            .then(pl.coalesce(double, integer.cast(pl.Float64), boolean.cast(pl.Float64)))
            .alias("number"),
            pl.when(whole).then(pl.coalesce(integer, boolean.cast(pl.Int64))).alias("value_long"),
            "factor",
            "offset",
        )
    )


def _number_texts(frame: pl.DataFrame, sent: _Sent, _rows: Ints, _lookup: Lookup) -> pl.DataFrame:
    """Of measurements, setpoints and counters: what was sent as text (or bytes, which are no number)."""
    text = sent.exprs[3]
    digits = (pl.col("kind") == COUNTER) & pl.col("exact") & text.str.contains(DIGITS)
    read = frame.select(
        pl.when(digits).then(text).cast(pl.Int64, strict=False).alias("value_long"),
        pl.when(text.str.contains(DECIMAL)).then(text).cast(pl.Float64, strict=False).alias("number"),
        "factor",
        "offset",
    )
    whole = pl.col("value_long").is_not_null()
    return _published(
        read.with_columns(pl.when(~whole).then("number").alias("number"), mismatch=~whole & pl.col("number").is_null())
    )


def _published(frame: pl.DataFrame) -> pl.DataFrame:
    """INTERPRETED of numbers: `number` is brought to the published unit, value_long stays as it is."""
    scaled = pl.col("number") * pl.col("factor") + pl.col("offset")
    finite = scaled.is_finite()
    mismatch = pl.col("mismatch") if "mismatch" in frame.columns else _NO
    whole = pl.col("value_long") if "value_long" in frame.columns else pl.lit(None, pl.Int64)
    return frame.select(
        pl.when(finite).then(scaled).alias("value_double"),
        whole.alias("value_long"),
        pl.lit(None, ID).alias("value_string"),
        (pl.col("number").is_null() & whole.is_null() & ~mismatch).alias("missing"),
        mismatch.alias("mismatch"),
        (~finite).fill_null(value=False).alias("not_finite"),
        _NO.alias("unmapped"),
    )


def _labels(frame: pl.DataFrame, sent: _Sent, rows: Ints, lookup: Lookup) -> pl.DataFrame:
    """INTERPRETED of states, alarms, batch ids and phases."""
    double, integer, boolean, string, raw = sent.exprs
    exact = double.is_finite() & (double.abs() <= EXACT_LIMIT) & (double == double.round())
    signal = lookup.take(rows, "as_bytes", "enumerated")
    frame = frame.hstack(signal).with_columns(_utf8(frame.hstack(signal).select(pl.when("as_bytes").then(raw))))
    texts = frame.select(
        pl.when(double.is_not_null())
        .then(pl.when(exact).then(double).cast(pl.Int64, strict=False).cast(pl.String))
        .when(integer.is_not_null())
        .then(integer.cast(pl.String))
        .when(boolean.is_not_null())
        .then(pl.when(boolean).then(pl.lit("true")).otherwise(pl.lit("false")))
        .otherwise(pl.coalesce(string, "_utf8"))
        .alias("text"),
        "enumerated",
        missing=pl.all_horizontal(value.is_null() for value in sent.exprs),
        not_finite=~double.is_finite().fill_null(value=True),
        digit=pl.when(double.is_null() & integer.is_null()).then(boolean.cast(pl.Int8)).cast(pl.String),
    )
    texts = texts.with_columns(pl.when(pl.col("text").str.len_bytes() <= LABEL_LIMIT).then("text").alias("text"))
    label = lookup.label(rows, texts["text"])
    if texts["digit"].null_count() < texts.height:
        label = pl.select(pl.coalesce(label, lookup.label(rows, texts["digit"]))).to_series()
    nothing = pl.col("text").is_null()
    return texts.with_columns(label.alias("label")).select(
        pl.lit(None, pl.Float64).alias("value_double"),
        pl.lit(None, pl.Int64).alias("value_long"),
        pl.coalesce("label", pl.col("text").cast(ID)).alias("value_string"),
        "missing",
        (nothing & ~pl.col("missing") & ~pl.col("not_finite")).alias("mismatch"),
        "not_finite",
        (pl.col("label").is_null() & ~nothing & pl.col("enumerated")).alias("unmapped"),
    )


def _utf8(values: pl.DataFrame) -> pl.Series:
    """Text of the bytes in the only column, `_utf8`; null where there are none or they are not UTF-8."""
    raw = values.to_series()
    if raw.null_count() == len(raw):
        return pl.repeat(None, len(raw), dtype=pl.String, eager=True).alias("_utf8")
    # An identifier sent as bytes is a rare event; a cast of the whole column fails on the first bad one.
    return pl.Series("_utf8", [_decoded(value) for value in raw], dtype=pl.String)


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None
