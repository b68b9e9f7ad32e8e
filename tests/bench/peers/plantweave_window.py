"""The window stage over raw topics, for the benchmark's stage "window".

In: raw readings, one to a message (Avro or JSON) or in batches. Out: `ot.window.v1`, keyed by signal. Readings are
taken as sent: the address is the signal, no dictionary is asked. JSON is no raw format of the product yet; its decode
here is the block decode with the value as bytes, and `json_decode` on the column.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from streams.core.context import Context
from streams.core.frames import COORDINATES, GOOD, READING
from streams.core.stage import Moment, Result, StageCore, Table, Tables
from streams.core.window.stage import Window, WindowConfig
from streams.kafka.avro import contracts
from streams.kafka.avro import wire as avro_wire
from streams.kafka.avro.writer import columns
from streams.kafka.blocks.proof import HEADERS
from streams.kafka.chunks import Chunk
from streams.kafka.serde import AvroSerde
from streams.kafka.service import Decoded, Record, Service
from streams.settings import Settings
from streams.topology import LATE, RAW_BATCH, RAW_READING, REJECTED, SIGNAL, WINDOW, Stage, Topic
from streams.topology import READING as VALIDATED
from tests.bench.shapes import SIGNALS, address, dictionary

ARRAYS: Final = ("address", "source_time", "value_double", "quality_raw")
LONG: Final = "long"


class RawWindows:
    """The window stage, fed with raw readings."""

    def __init__(self, config: WindowConfig) -> None:
        self._window: StageCore = Window(config)
        own = {"role": "measurement", "valid_from": 0}
        rows = [
            {**row, **own, "signal_id": address(number)}
            for number, row in zip(range(SIGNALS), dictionary(), strict=True)
        ]
        signals = pl.DataFrame(rows, schema=columns(contracts.load(SIGNAL.name).schema))
        self._context = Context({SIGNAL.name: signals}, 1)

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those of the window stage."""
        return self._window.tables

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """The window stage's step on the raw readings of a chunk."""
        del context
        if topic == RAW_BATCH.name:
            frame = frame.explode(ARRAYS)
        return self._window.step(VALIDATED.name, validated(frame), state, self._context, moment)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """The window stage's timer."""
        del context
        return self._window.timer(state, self._context, moment)


def validated(raw: pl.DataFrame) -> pl.DataFrame:
    """READING + COORDINATES of raw readings, taken as sent. OPC UA: bits 30 and 31 of the code say how good."""
    known = {
        "site": pl.lit("site-1"),
        "work_center": pl.lit("bench"),
        "signal_id": pl.col("address"),
        "source_id": pl.col("source_id"),
        "event_time": pl.col("source_time"),
        "ingest_time": pl.col("_time"),
        "value_double": pl.col("value_double"),
        "quality": pl.col("quality_raw").fill_null(GOOD) // 2**30 % 4,
        "quality_raw": pl.col("quality_raw"),
        "flags": pl.lit(0),
        "sequence": pl.col("sequence"),
    }
    return raw.select(
        *(known.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in READING.items()), *COORDINATES
    )


class JsonSerde:
    """Decodes JSON objects of blocks; encodes as the Avro serde does."""

    def __init__(self, serde: AvroSerde) -> None:
        self._serde = serde
        wanted = ("source_id", "sequence", "address", "source_time", "value_double", "quality_raw")
        schema = columns(contracts.load(RAW_READING.name).schema)
        self._type = pl.Struct({name: schema[name] for name in wanted})
        parts = [(name, LONG) for name in ("_len", "_attr", "_tsd", "_offd")]
        parts += [("_key", "bytes"), ("_value", "bytes"), ("_hdrs", LONG)]
        self._head = avro_wire.header([{"name": name, "type": kind} for name, kind in parts])

    async def start(self) -> None:
        """Start the Avro serde."""
        await self._serde.start()

    async def stop(self) -> None:
        """Stop it."""
        await self._serde.stop()

    async def decode(self, topic: Topic, chunk: Chunk, from_offset: int) -> Decoded:
        """Rows of a chunk at or above `from_offset`. Raises where a value is no JSON object: here none may be."""
        headers = np.frombuffer(b"".join(block.header for block in chunk.records), HEADERS)
        counts = headers["count"].astype(np.int64)
        frame = avro_wire.read(self._head, [block.body for block in chunk.records], int(counts.sum()))
        if frame.select(pl.any_horizontal(pl.col("_attr", "_hdrs") != 0).any()).item():
            raise ValueError(f"{topic.name}: records that the benchmark did not write")
        offsets = np.repeat(headers["base"].astype(np.int64), counts) + frame["_offd"].to_numpy()
        times = np.repeat(headers["first_time"].astype(np.int64), counts) + frame["_tsd"].to_numpy()
        rows = (
            frame["_value"]
            .cast(pl.String)
            .str.json_decode(self._type)
            .struct.unnest()
            .with_columns(
                pl.lit(chunk.partition, pl.Int32).alias("_partition"),
                pl.Series("_offset", offsets),
                pl.Series("_time", times * 1_000),
            )
        )
        return Decoded(rows.filter(pl.col("_offset") >= from_offset))

    def encode(self, topic: Topic, frame: pl.DataFrame) -> Sequence[Record]:
        """Records for the rows of `frame`."""
        return self._serde.encode(topic, frame)


def service(settings: Settings) -> Service:
    """The service, ready for a worker."""
    raw = RAW_BATCH if os.environ["SHAPE"] == "batch100" else RAW_READING
    # A name of its own: a static member that rejoins the group of `window` would be given that service's partitions.
    stage = Stage("raw_window", reads=(raw,), writes=(WINDOW, LATE, REJECTED))
    config = WindowConfig(
        allowed_disorder_us=settings.allowed_disorder_ms * 1_000, idle_after_us=settings.idle_after_ms * 1_000
    )
    serde = AvroSerde(settings, stage)
    chosen = JsonSerde(serde) if os.environ["SHAPE"] == "json" else serde
    return Service(stage.name, stage.reads, stage.writes, RawWindows(config), chosen)
