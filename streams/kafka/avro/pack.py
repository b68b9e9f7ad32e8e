"""Validated readings into records. Enters: a flat frame (READING). Leaves: keys and values of ot.reading.v1.

One record holds readings of one (site, tenant, work center) as parallel arrays; `signal` and `source` index the
dictionaries `signals` and `sources` of the same record. The contract declares every field and item nullable, because
that is what `polars.write_avro` writes: its bytes, without the container around them, are values of the contract.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams import topology
from streams.core.frames import READING
from streams.kafka.avro import contracts
from streams.kafka.avro import sizes as avro_sizes
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro import writer as avro_writer

LIMIT_BYTES: Final = 900 << 10  # below max.message.bytes of a broker as installed (1 MiB), with room for the batch
SCALARS: Final = ("site", "tenant", "work_center")
VALUES: Final[dict[str, pl.DataType]] = {
    "event_time": pl.Int64(),
    "value_double": pl.Float64(),
    "value_long": pl.Int64(),
    "value_string": pl.String(),
    "quality": pl.Int32(),
    "quality_raw": pl.Int64(),
    "quality_scheme": pl.Int32(),
    "flags": pl.Int32(),
    "sequence": pl.Int64(),
}
ARRAYS: Final = ("signal", "source", *VALUES)
_ROWS: Final = 12_000
SPAN_US: Final = 1_000_000  # of broker time in one record
_TABLE_SLOTS: Final = 1 << 21  # 16 MiB; above, sorting is cheaper than clearing
Ints = npt.NDArray[np.int64]


def pack(frame: pl.DataFrame, prefix: bytes) -> list[tuple[bytes, bytes]]:
    """(key, value) of the ot.reading.v1 records that hold the readings of `frame` (READING's columns).

    The key is the work center, `prefix` the framing (`codec.Framing.prefix`). Readings of one work center stay in
    their order; those of one record came within SPAN_US. Records stay below LIMIT_BYTES; only a single reading that is
    larger by itself is not split.
    """
    if not frame.height:
        return []
    group = _groups(frame)
    if (np.diff(group) < 0).any():
        # Columns without values are not worth moving.
        empty = [name for name in VALUES if frame[name].null_count() == frame.height]
        order = np.argsort(group, kind="stable")
        moved = frame.drop(empty)[order]
        frame, group = moved.with_columns(pl.lit(None, READING[name]).alias(name) for name in empty), group[order]
    begins = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(begins[1:], frame.height)
    cuts = [np.arange(begin, end, _ROWS) for begin, end in zip(begins, ends, strict=True)]
    return list(_encode(frame, np.concatenate(cuts), prefix))


def _groups(frame: pl.DataFrame) -> Ints:
    """A number for the (site, tenant, work center) and the span of broker time of each row."""
    # A record has one ingest_time, the earliest: what came minutes later must not pass as having been there then.
    ingest = frame["ingest_time"].fill_null(strategy="min").fill_null(0).to_numpy()
    group: Ints = np.maximum.accumulate((ingest - ingest.min()) // SPAN_US)
    for name in SCALARS:
        codes = frame[name].to_physical()
        if codes.null_count() == len(codes) or (not codes.null_count() and codes.min() == codes.max()):
            continue
        numbers = codes.cast(pl.Int64).fill_null(-1).to_numpy() + 1
        group = group + numbers * (int(group.max()) + 1)
    return group


def _encode(frame: pl.DataFrame, begins: Ints, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    """One record for the rows from each of `begins` to the next; one that is too large again in two."""
    records = _records(frame, begins)
    # One call for all records, taken apart by their sizes: a call costs as much as encoding a thousand readings.
    data = body(records)
    ends = np.cumsum(avro_sizes.rows(records, _fields())).tolist()
    if ends[-1] != len(data):
        raise RuntimeError("polars encodes records in another way than this release was tested with; pin polars")
    keys = records["work_center"].fill_null("").to_list()
    edges = np.append(begins, frame.height).tolist()
    for number, (begin, end) in enumerate(pairwise([0, *ends])):
        rows = edges[number + 1] - edges[number]
        if end - begin < LIMIT_BYTES or rows == 1:
            yield keys[number].encode(), prefix + data[begin:end]
        else:
            yield from _encode(frame[edges[number] : edges[number + 1]], np.array([0, rows // 2]), prefix)


def _records(frame: pl.DataFrame, begins: Ints) -> pl.DataFrame:
    """The records, one per row, in the contract's order of fields."""
    owner = np.repeat(np.arange(len(begins)), np.diff(begins, append=frame.height))
    signals, signal = _dictionaries(frame["signal_id"], owner)
    sources, source = _dictionaries(frame["source_id"], owner)
    mixed = [name for name in VALUES if 0 < frame[name].null_count() < frame.height]
    empty = [name for name in VALUES if frame[name].null_count() == frame.height]
    columns = frame.select(*SCALARS, "ingest_time", *(pl.col(name).cast(VALUES[name]) for name in VALUES))
    grouped = columns.with_columns(
        pl.Series("_owner", owner).set_sorted(), pl.Series("signal", signal), pl.Series("source", source)
    ).group_by("_owner", maintain_order=True)
    records = grouped.agg(
        *(pl.col(name).first().cast(pl.String) for name in SCALARS),
        pl.col("ingest_time").min(),
        *(pl.col(name) for name in ARRAYS if name not in empty),
        *(pl.col(name).count().alias(f"#{name}") for name in mixed),
    )
    return records.with_columns(
        signals.alias("signals"),
        sources.alias("sources"),
        *(_array(name, kind, name in empty, name in mixed) for name, kind in VALUES.items()),
    ).select(part["name"] for part in _fields())


def _array(name: str, kind: pl.DataType, empty: bool, part: bool) -> pl.Expr:
    """A value array, null where it has no values."""
    nothing = pl.lit(None, pl.List(kind)).alias(name)
    if empty:
        return nothing
    return pl.when(pl.col(f"#{name}") > 0).then(pl.col(name)).otherwise(nothing) if part else pl.col(name)


def _dictionaries(series: pl.Series, owner: Ints) -> tuple[pl.Series, npt.NDArray[np.int32]]:
    """Distinct texts of a Categorical column per record (a List column), and each row's index among them."""
    codes = series.to_physical().to_numpy()
    lowest = int(codes.min())
    width = int(codes.max()) - lowest + 1
    slots = owner * width + (codes.astype(np.int64) - lowest)
    size = (int(owner[-1]) + 1) * width
    rank: npt.NDArray[np.integer[Any]]
    if size <= _TABLE_SLOTS:
        table = np.full(size, -1, np.int64)
        table[slots] = np.arange(len(slots))
        used = np.flatnonzero(table >= 0)
        rows = table[used]
        table[used] = np.arange(len(used))
        rank = table[slots]
    else:
        used, rows, rank = np.unique(slots, return_index=True, return_inverse=True)
    owners = used // width
    begins = np.searchsorted(owners, np.arange(int(owner[-1]) + 1))
    texts = pl.DataFrame([pl.Series("owner", owners).set_sorted(), series.gather(rows).cast(pl.String).alias("text")])
    lists = texts.group_by("owner", maintain_order=True).agg("text")["text"]
    return lists, (rank - begins[owner]).astype(np.int32)


def body(records: pl.DataFrame) -> bytes:
    """The encoded records without the container around them: header, count and size before, sync marker behind."""
    stream = io.BytesIO()
    records.write_avro(stream, name="Readings")
    data = stream.getvalue()
    sync = data[-16:]
    position = data.index(sync) + len(sync)
    count, position = avro_wire.read_varint(data, position)
    size, position = avro_wire.read_varint(data, position)
    if count != records.height or position + size + len(sync) != len(data):
        raise RuntimeError("polars writes containers in another way than this release was tested with; pin polars")
    return data[position : position + size]


@cache
def _fields() -> Sequence[Mapping[str, Any]]:
    fields: Sequence[Mapping[str, Any]] = avro_writer.stripped(contracts.load(topology.READING.name).schema)["fields"]
    return fields
