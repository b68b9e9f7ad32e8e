"""A service that tells what its context says: each name of an asset once, when it sees another than it told last.

Run as a process: `python seen.py GATE`, settings from the environment. It stands in the place of `window`. While the
file GATE is there the process kills itself when it has something to tell: after the context was applied, before
anything of it is committed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from streams import logs, topology
from streams.core.context import Context
from streams.core.stage import Change, Moment, Result, Table, Tables
from streams.kafka.serde import AvroSerde
from streams.kafka.service import Record, Service
from streams.kafka.worker import main
from streams.settings import Settings
from streams.topology import Topic

OUT: Final = Topic("seen.out.v1", "test", "asset_id", "what the context says of an asset")
TOLD: Final = Table("told", pl.Schema({"asset_id": pl.String(), "name": pl.String()}), ("asset_id",))


class Serde(AvroSerde):
    """Readings as `window` reads them; one JSON object per record of OUT."""

    def encode(self, topic: topology.Topic, frame: pl.DataFrame) -> Sequence[Record]:
        if topic is OUT:
            return [Record(row["asset_id"].encode(), json.dumps(row).encode()) for row in frame.to_dicts()]
        return super().encode(topic, frame)


class Seen:
    """Compares what holds with what was told last, as a stage that labels again does."""

    tables = (TOLD,)

    def __init__(self, gate: Path) -> None:
        self._gate = gate

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        return Result()

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        newest = context.frame(topology.ASSET.name).sort("valid_from").unique("asset_id", keep="last")
        new = newest.select("asset_id", "name").join(state["told"], on=["asset_id", "name"], how="anti")
        if not new.height:
            return Result()
        if self._gate.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return Result(changes={"told": Change(upsert=new)}, out={OUT.name: new})


def service(settings: Settings, gate: Path) -> Service:
    """The service in the place of `window`, with assets as its context."""
    stage = topology.WINDOW_STAGE
    return Service(
        stage.name, stage.reads, (OUT, topology.REJECTED), Seen(gate), Serde(settings, stage), (topology.ASSET,)
    )


if __name__ == "__main__":
    own = Settings.load(os.environ)
    logs.setup("window", own.log_level, own.log_format)
    main(own, lambda settings: service(settings, Path(sys.argv[1])))
