"""What the Python peers share: what the orchestrator told them, and bytes to readings with the fastest usual libraries.

In: the environment and the bytes of a message. Out: readings as (address, time in us since 1970 UTC, value), and the
record of a closed window as JSON. Nothing here depends on an engine.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import fastavro
import orjson

BOOTSTRAP: Final = os.environ["BOOTSTRAP"]
IN_TOPIC: Final = os.environ["IN_TOPIC"]
OUT_TOPIC: Final = os.environ["OUT_TOPIC"]
GROUP: Final = os.environ["GROUP"]
SHAPE: Final = os.environ["SHAPE"]
DISORDER_MS: Final = int(os.environ["DISORDER_MS"])
WINDOW_US: Final = 60_000_000

Reading = tuple[str, int, float]
# count, sum, min, max, time of the first, first, time of the last, last
Window = tuple[int, float, float, float, int, float, int, float]


def _contract(name: str) -> Any:
    contract = json.loads((Path(__file__).parents[3] / "schemas" / "10-raw" / name).read_text("utf-8"))
    for field in contract["fields"]:
        # Plain longs: fastavro would build a datetime for each.
        for branch in field["type"] if isinstance(field["type"], list) else ():
            if isinstance(branch, dict):
                branch.pop("logicalType", None)
    return fastavro.parse_schema(contract)


def decoder() -> Callable[[bytes], Iterable[Reading]]:
    """Turns the value of one message of SHAPE into its readings."""
    if SHAPE == "json":
        return _json
    contract = _contract("ot.raw.batch.v1.avsc" if SHAPE == "batch100" else "ot.raw.reading.v1.avsc")

    def single(value: bytes) -> Iterable[Reading]:
        row: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), contract, None)
        return ((row["address"], row["source_time"], row["value_double"]),)

    def batch(value: bytes) -> Iterable[Reading]:
        row: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), contract, None)
        return zip(row["address"], row["source_time"], row["value_double"], strict=True)

    return batch if SHAPE == "batch100" else single


def _json(value: bytes) -> Iterable[Reading]:
    row = orjson.loads(value)
    return ((row["address"], row["source_time"], row["value_double"]),)


def begin(reading: Reading) -> Window:
    """The window that holds one reading."""
    _, time_us, value = reading
    return (1, value, value, value, time_us, value, time_us, value)


def add(window: Window, reading: Reading) -> Window:
    """The window with one more reading."""
    count, total, low, high, first_us, first, last_us, last = window
    _, time_us, value = reading
    if time_us < first_us:
        first_us, first = time_us, value
    if time_us >= last_us:
        last_us, last = time_us, value
    return (count + 1, total + value, min(low, value), max(high, value), first_us, first, last_us, last)


def encode(signal: str, start_us: int, window: Window) -> bytes:
    """The record of a closed window."""
    count, total, low, high, _, first, _, last = window
    record: bytes = orjson.dumps(
        {
            "signal": signal,
            "window_start": start_us,
            "count": count,
            "uncertain": 0,
            "sum": total,
            "min": low,
            "max": high,
            "first": first,
            "last": last,
            "mean": total / count,
        }
    )
    return record
