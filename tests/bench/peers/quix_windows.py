"""Quix Streams: a tumbling window with its built-in aggregators, state in RocksDB.

In: the raw topic. Out: one record per closed window. The window's key is the signal. Its `group_by` would send every
reading through one more topic, though a signal is in one partition already; what it does for topics of one partition,
changing the key in place, is used instead: the engine's best case.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Earliest, Latest, Max, Min, Sum

from tests.bench.peers.common import BOOTSTRAP, DISORDER_MS, GROUP, IN_TOPIC, OUT_TOPIC, Reading, decoder, encode


def _row(reading: Reading) -> dict[str, Any]:
    return {"signal": reading[0], "time_us": reading[1], "value": reading[2]}


def _record(window: dict[str, Any], signal: str) -> bytes:
    row = (window["count"], window["sum"], window["min"], window["max"], 0, window["first"], 0, window["last"])
    return encode(signal, window["start"] * 1_000, row)


def main() -> None:
    """Run until ended."""
    decode = decoder()
    application = Application(
        broker_address=BOOTSTRAP,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        state_dir=tempfile.mkdtemp(prefix="bench-quix-"),
        auto_create_topics=True,
        loglevel="WARNING",
    )
    raw = application.dataframe(application.topic(IN_TOPIC, key_deserializer="bytes", value_deserializer="bytes"))
    readings = raw.apply(lambda value: [_row(reading) for reading in decode(value)], expand=True)
    readings = readings._single_partition_groupby("signal", "signal")
    readings = readings.set_timestamp(lambda value, _key, _time, _headers: value["time_us"] // 1_000)
    windows = readings.tumbling_window(timedelta(minutes=1), grace_ms=timedelta(milliseconds=DISORDER_MS)).agg(
        count=Count(),
        sum=Sum("value"),
        min=Min("value"),
        max=Max("value"),
        first=Earliest("value"),
        last=Latest("value"),
    )
    closed = windows.final(closing_strategy="partition").apply(
        lambda window, key, _time, _headers: _record(window, key), metadata=True
    )
    closed.to_topic(application.topic(OUT_TOPIC, key_serializer="str", value_serializer="bytes"))
    application.run()


if __name__ == "__main__":
    main()
