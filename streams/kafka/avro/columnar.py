"""Validated readings, columnar. Enters: decoded records of ot.reading.v1. Leaves: flat frames (READING, COORDINATES).

The way back, `pack`, is in `columnar_pack`, where the layout is described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core.frames import BAD, COORDINATES, GOOD, ID, READING, SCHEME_NONE, SCHEME_SPARKPLUG
from streams.kafka.avro.block import Decoded
from streams.kafka.avro.pack import ARRAYS, SCALARS, VALUES, Ints, pack
from streams.kafka.blocks.rejects import UNDECODABLE, UNEQUAL_LENGTHS, Rejects

__all__ = ["pack", "unpack"]

_REQUIRED: Final = ("signals", "sources", "signal", "source", "event_time", "quality")


def unpack(decoded: Decoded, topic: str) -> Decoded:
    """One row per reading (READING and COORDINATES) of decoded ot.reading.v1 records (`avro_block.decode`), in order.

    Records whose arrays have unequal lengths or that miss an array (unequal_lengths), or whose items cannot be
    (undecodable), are rejected as a whole; `needs` is passed on.
    """
    records = decoded.frame
    if not records.height:
        return Decoded(
            pl.DataFrame(schema=pl.Schema({**READING, **COORDINATES})),
            decoded.rejects,
            decoded.needs,
            decoded.slow_batches,
        )
    lengths = _lengths(records)
    reason, faults = UNEQUAL_LENGTHS, _unequal(lengths)
    if not faults:
        items = _items(records, lengths)
        reason, faults = UNDECODABLE, _unusable(items, lengths)
        if not faults:
            return Decoded(_flat(records, items, lengths), decoded.rejects, decoded.needs, decoded.slow_batches)
    rejects = Rejects(topic, int(records["_partition"][0]))
    for row, detail in sorted(faults.items()):
        rejects.add(reason, detail, int(records["_offset"][row]), int(records["_time"][row]))
    refused = pl.concat([decoded.rejects, rejects.frame()]).sort("offset", maintain_order=True)
    sound = records.filter(~pl.Series(np.isin(np.arange(records.height), list(faults))))
    return unpack(Decoded(sound, refused, decoded.needs, decoded.slow_batches), topic)


def _lengths(records: pl.DataFrame) -> dict[str, Ints]:
    """Length of every array of every record; -1 where it is null."""
    lengths = pl.col("signals", "sources", *ARRAYS).list.len().cast(pl.Int64).fill_null(-1)
    return {series.name: series.to_numpy() for series in records.select(lengths)}


def _unequal(lengths: Mapping[str, Ints]) -> dict[int, str]:
    """What is wrong with the lengths of records, by row."""
    faults: dict[int, str] = {}
    count = lengths["signal"]
    for name in _REQUIRED:
        for row in np.flatnonzero(lengths[name] < 0):
            faults.setdefault(int(row), f"array {name} is missing")
    for name in ARRAYS:
        for row in np.flatnonzero((lengths[name] != count) & (lengths[name] >= 0)):
            faults.setdefault(int(row), f"{name} has {lengths[name][row]} items, signal has {count[row]}")
    return faults


def _items(records: pl.DataFrame, lengths: Mapping[str, Ints]) -> dict[str, pl.Series]:
    """The items of all arrays one after another, as the flat frame has them; nulls where a record has no array."""
    count = lengths["signal"]
    total = int(count.sum())
    whole = [name for name in ARRAYS if (lengths[name] >= 0).all()]
    flat = records.select(pl.col(whole).explode(empty_as_null=False, keep_nulls=False))
    items = {series.name: series for series in flat}
    for name, dtype in VALUES.items():
        if name not in items:
            absent = np.repeat(lengths[name] < 0, count)
            rows = pl.Series(np.flatnonzero(~absent), dtype=pl.UInt32)
            values = records[name].explode(empty_as_null=False, keep_nulls=False)
            nothing = pl.Series(name, [None], dtype).new_from_index(0, total)
            items[name] = nothing.scatter(rows, values) if len(rows) else nothing
    return items


def _unusable(items: Mapping[str, pl.Series], lengths: Mapping[str, Ints]) -> dict[int, str]:
    """Records with items that cannot be: indices beyond their dictionary, no time, codes nobody defined; by row."""
    row = np.repeat(np.arange(len(lengths["signal"])), lengths["signal"])
    wrong: dict[str, npt.NDArray[np.bool_]] = {}
    for array, dictionary in (("signal", "signals"), ("source", "sources")):
        index = items[array].fill_null(-1).to_numpy()
        wrong[f"array {array} points beyond {dictionary}"] = (index < 0) | (index >= lengths[dictionary][row])
    quality = items["quality"].fill_null(-1).to_numpy()
    wrong["array quality holds something other than 0, 1, 2"] = (quality < GOOD) | (quality > BAD)
    scheme = items["quality_scheme"].fill_null(SCHEME_NONE).to_numpy()
    wrong["array quality_scheme holds an unknown scheme"] = (scheme < SCHEME_NONE) | (scheme > SCHEME_SPARKPLUG)
    if items["event_time"].null_count():
        wrong["array event_time holds a null"] = items["event_time"].is_null().to_numpy()
    faults: dict[int, str] = {}
    for detail, mask in wrong.items():
        for number in np.unique(row[mask]):
            faults.setdefault(int(number), detail)
    return faults


def _flat(records: pl.DataFrame, items: dict[str, pl.Series], lengths: Mapping[str, Ints]) -> pl.DataFrame:
    """The readings of sound records."""
    count = lengths["signal"]
    scalars = records.select(pl.col(SCALARS).cast(ID), "ingest_time", *COORDINATES)
    found = {series.name: series for series in scalars[np.repeat(np.arange(records.height), count)]}
    for name, array, dictionary in (("signal_id", "signal", "signals"), ("source_id", "source", "sources")):
        begins = np.cumsum(lengths[dictionary]) - lengths[dictionary]
        texts = records[dictionary].explode(empty_as_null=False, keep_nulls=False).cast(ID)
        found[name] = texts.gather(items[array].to_numpy() + np.repeat(begins, count)).alias(name)
    return pl.DataFrame({**found, **{name: items[name] for name in VALUES}}).select(
        pl.col(name).cast(dtype) for name, dtype in (*READING.items(), *COORDINATES.items())
    )
