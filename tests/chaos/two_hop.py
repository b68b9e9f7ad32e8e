"""Two trivial services on the real shell: `relay` re-keys numbered readings, `count` counts them in windows.

Run as a process: `python two_hop.py relay|count`, settings from the environment. Nothing here is smart, so that what a
test finds is the shell's.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

import polars as pl

from streams import logs
from streams.core.context import Context
from streams.core.frames import COORDINATES
from streams.core.stage import Change, Moment, Result, Table, Tables
from streams.kafka.chunks import Chunk
from streams.kafka.service import Decoded, Record, Service
from streams.kafka.worker import main
from streams.settings import Settings
from streams.topology import Topic

IN = Topic("two.in.v1", "test", "asset", "numbered readings")
MID = Topic("two.mid.v1", "test", "asset", "the same, relayed")
OUT = Topic("two.out.v1", "test", "asset", "closed windows")
WINDOW_MS = 60_000
ROW = pl.Schema({"asset": pl.String(), "ts": pl.Int64(), "id": pl.Int64()})


class JsonSerde:
    """One JSON object per record."""

    async def start(self) -> None:
        """Nothing to prepare."""

    async def stop(self) -> None:
        """Nothing to let go."""

    async def decode(self, topic: Topic, chunk: Chunk, from_offset: int) -> Decoded:
        records = [record for record in chunk.records if record.offset >= from_offset]
        frame = pl.DataFrame([json.loads(record.value) for record in records], schema=ROW)
        place = [(record.partition, record.offset, record.timestamp * 1000) for record in records]
        return Decoded(pl.concat([frame, pl.DataFrame(place, schema=COORDINATES, orient="row")], how="horizontal"))

    def encode(self, topic: Topic, frame: pl.DataFrame) -> Sequence[Record]:
        return [Record(row["asset"].encode(), json.dumps(row).encode()) for row in frame.to_dicts()]


class Relay:
    """Passes every reading on."""

    tables: tuple[Table, ...] = ()

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        return Result(out={MID.name: frame.select(ROW.names())})

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        return Result()


class Count:
    """Counts per asset and minute; closes the minutes that lie two behind the newest of their asset."""

    tables = (
        Table("window", pl.Schema({"asset": pl.String(), "minute": pl.Int64(), "n": pl.Int64()}), ("asset", "minute")),
    )

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        new = frame.group_by("asset", (pl.col("ts") // WINDOW_MS).alias("minute")).agg(n=pl.len().cast(pl.Int64))
        touched = state["window"].join(new.select("asset", "minute"), on=["asset", "minute"], how="semi")
        merged = pl.concat([touched, new.select(touched.columns)]).group_by("asset", "minute").agg(pl.col("n").sum())
        known = pl.concat([state["window"].join(new, on=["asset", "minute"], how="anti"), merged])
        # By the asset's own time: one asset comes through one relay task, in order; others may lag behind it.
        stale = pl.col("minute") < pl.col("minute").max().over("asset") - 1
        closed = known.filter(stale)
        still = merged.join(closed, on=["asset", "minute"], how="anti")
        changes = {"window": Change(upsert=still, delete=closed.select("asset", "minute"))}
        return Result(changes=changes, out={OUT.name: closed})

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        return Result()


def make(name: str) -> Service:
    """The service called `name`."""
    if name == "relay":
        return Service("relay", (IN,), (MID,), Relay(), JsonSerde())
    return Service("count", (MID,), (OUT,), Count(), JsonSerde())


if __name__ == "__main__":
    settings = Settings.load(os.environ)
    logs.setup(sys.argv[1], settings.log_level, settings.log_format)
    main(settings, lambda _: make(sys.argv[1]))
