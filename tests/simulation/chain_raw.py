"""Messages as the broker gets them. Enter: messages of a plan. Leave: raw records, and messages that close windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.core.validate_run import SCHEMAS
from tests.simulation.chain_plan import BEATS, BY_NAME, CLOSING, NODES, UNKNOWN, Message, Raw
from tests.simulation.reference import SECOND

BATCH, SINGLE = "ot.raw.batch.v1", "ot.raw.reading.v1"
DAY = 86_400 * SECOND


def closing() -> list[Message]:
    """A reading of every edge node and line after all others: it brings watermarks past every window they are in."""
    return [
        Message(node, "boot-9", 9, tuple(Raw(beat.signal.name, CLOSING, 0.0) for beat in BEATS if beat.node == node))
        for node in NODES
    ]


def records(message: Message) -> Iterator[tuple[str, dict[str, Any]]]:
    """A message as raw records: topic and fields of the contract."""
    head = {
        "source_id": message.node,
        "site": "Hamburg",
        "boot_id": message.boot,
        "sequence": message.sequence,
        "gateway_time": message.gateway_time,
        "quality_scheme": "opcda",
    }
    items = [_fields(raw) for raw in message.readings]
    if message.single:
        plain = dict.fromkeys(SCHEMAS[SINGLE].names())
        names = SCHEMAS[SINGLE].names()
        for item in items:
            yield SINGLE, {name: value for name, value in {**plain, **head, **item}.items() if name in names}
    else:
        yield BATCH, {**head, "tenant": None, **{name: [item[name] for item in items] for name in items[0]}}


def _fields(raw: Raw) -> dict[str, Any]:
    """One reading as raw topics have it."""
    stamp = {"no time": None, "far ahead": raw.time + 400 * DAY, "ancient": 86_400 * SECOND}.get(raw.odd, raw.time)
    told = {
        "value_double": float("nan") if raw.odd == "not a number" else raw.number,
        "value_long": raw.whole,
        "value_string": raw.label,
    }
    if raw.odd in {"nothing", "a word"}:
        told = dict.fromkeys(told) | {"value_string": None if raw.odd == "nothing" else "a word"}
    return {
        "address": raw.odd if raw.odd == UNKNOWN else BY_NAME[raw.name].address,
        "source_time": stamp,
        **told,
        "value_bool": None,
        "quality_raw": raw.code,
        "historical": raw.historical,
        "birth": raw.birth,
    }
