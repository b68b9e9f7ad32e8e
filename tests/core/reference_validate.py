"""The validate stage once more: one reading after another, plain Python, written from the contracts.

Enter: raw records and dictionary rows as dicts. Leave: `Expected`, whatever chunks the stage gets them in.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from tests.core import reference_clock as clock

Row = dict[str, Any]
Key = tuple[str, str]

FOREVER = 2**63 - 1
ARRAYS = ("address", "source_time", "value_double", "value_long", "value_bool", "value_string", "quality_raw",
          "historical", "birth")  # fmt: skip
VALUES = ("value_double", "value_long", "value_bool", "value_string", "value_bytes")
COUNTERS = ("good_counter", "reject_counter", "total_counter")
LABELS = ("state", "alarm", "batch_id", "phase")
AS_SHIPPED = clock.Limits()
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class RejectedError(Exception):
    """This reading cannot be interpreted."""


@dataclass
class Expected:
    """Readings in order, rejects as (reason, topic, partition, offset, position, source, address), the inventory."""

    readings: list[Row] = field(default_factory=list)
    rejects: list[tuple[Any, ...]] = field(default_factory=list)
    unknown: dict[Key, Row] = field(default_factory=dict)
    overflow: int = 0
    copies: int = 0
    clocks: list[Row] = field(default_factory=list)


def quality_of(raw: int | None, scheme: str | None) -> int:
    """0 good, 1 uncertain, 2 bad."""
    if raw is None:
        return {None: 0, "opcua": 0, "sparkplug": 0}.get(scheme, 1)
    if scheme == "opcua":
        return (0, 1, 2, 2)[(raw & 0xFFFFFFFF) >> 30]
    if scheme == "opcda":
        return (2, 1, 2, 0)[(raw & 0b11000000) >> 6]
    if scheme == "sparkplug":
        return {192: 0, 0: 2}.get(raw, 1)
    return 1


def entries_of(dictionary: list[Row]) -> list[tuple[Key, int, int, Row]]:
    """(source and address), begin, end, version: later versions of a signal end earlier ones, first come keeps."""
    last: dict[tuple[str, int], Row] = {(row["signal_id"], row["valid_from"]): row for row in dictionary}
    entries: list[tuple[Key, int, int, Row]] = []
    for (signal_id, begin), row in last.items():
        following = [other for name, other in last if name == signal_id and other > begin]
        end = min([FOREVER if row["valid_to"] is None else row["valid_to"], *following])
        named = {row["address"], *row["aliases"]}
        entries.extend(((row["source_id"], address), begin, end, row) for address in named)
    entries.sort(key=lambda entry: (entry[0], entry[1], entry[3]["signal_id"]))
    kept = []
    for number, entry in enumerate(entries):
        before = [other for other in entries[:number] if other[0] == entry[0]]
        if all(other[2] <= entry[1] for other in before):
            kept.append(entry)
    return kept


def number_of(raw: Row, signal: Row) -> tuple[float | None, int | None]:
    """(value_double, value_long) of a measurement, setpoint or counter; (None, None): nothing sent."""
    exact = signal["factor"] == 1 and signal["offset"] == 0
    counter = signal["role"] in COUNTERS
    if raw["value_double"] is not None:
        number = float(raw["value_double"])
    elif raw["value_long"] is not None:
        if counter and exact:
            return None, raw["value_long"]
        number = float(raw["value_long"])
    elif raw["value_bool"] is not None:
        if exact:
            return None, int(raw["value_bool"])
        number = float(raw["value_bool"])
    elif raw["value_string"] is not None:
        text = raw["value_string"]
        if counter and exact and re.fullmatch(r"[+-]?[0-9]+", text) and -(2**63) <= int(text) < 2**63:
            return None, int(text)
        if not DECIMAL.fullmatch(text):
            raise RejectedError("type_mismatch")
        number = float(text)
    elif raw["value_bytes"] is not None:
        raise RejectedError("type_mismatch")
    else:
        return None, None
    return number * signal["factor"] + signal["offset"], None


def texts_of(raw: Row, role: str) -> list[str]:
    """Texts under which the enumeration is asked for the raw value, in order; empty: no value."""
    if raw["value_double"] is not None:
        double = raw["value_double"]
        if not math.isfinite(double):
            return []
        if double != int(double) or abs(double) > 2**53:
            raise RejectedError("type_mismatch")
        return [str(int(double))]
    if raw["value_long"] is not None:
        return [str(raw["value_long"])]
    if raw["value_bool"] is not None:
        return ["true", "1"] if raw["value_bool"] else ["false", "0"]
    if raw["value_string"] is not None:
        text = raw["value_string"]
    elif role in ("batch_id", "phase"):
        try:
            text = raw["value_bytes"].decode("utf-8")
        except UnicodeDecodeError:
            raise RejectedError("type_mismatch") from None
    else:
        raise RejectedError("type_mismatch")
    if len(text.encode()) > 1024:
        raise RejectedError("type_mismatch")
    return [text]


def reading_of(raw: Row, signal: Row, event_time: int, ingest_time: int) -> Row:
    """The validated reading; RejectedError where there is none."""
    quality = quality_of(raw["quality_raw"], raw["quality_scheme"])
    flags = 1 if raw["quality_scheme"] == "opcda" and raw["quality_raw"] and raw["quality_raw"] & 0xFC == 0xD8 else 0
    flags += 2 * bool(raw["historical"]) + 4 * bool(raw["birth"])
    flags += 16 * (raw["source_time"] is None or raw["_by"] != 0) + 32 * raw["_ambiguous"]
    double, integer, label = None, None, None
    if all(raw[name] is None for name in VALUES):
        if quality != 2:
            raise RejectedError("no_value")
    elif signal["role"] in LABELS:
        texts = texts_of(raw, signal["role"])
        labels = {entry["key"]: entry["value"] for entry in signal["enumeration"]}
        found = [labels[text] for text in texts if text in labels]
        if not texts:
            quality = 2
        elif not found and labels:
            quality = max(quality, 1)
        label = (found or texts or [None])[0]
    else:
        double, integer = number_of(raw, signal)
        if double is not None and not math.isfinite(double):
            double, quality = None, 2
        value = double if double is not None else integer
        low, high = signal["instrument_low"], signal["instrument_high"]
        if value is not None and ((low is not None and value < low) or (high is not None and value > high)):
            quality, flags = max(quality, 1), flags + 8
    return {
        **{name: signal[name] for name in ("site", "tenant", "work_center", "signal_id", "source_id")},
        "event_time": event_time,
        "ingest_time": ingest_time,
        "value_double": double,
        "value_long": integer,
        "value_string": label,
        "quality": quality,
        "quality_raw": raw["quality_raw"],
        "quality_scheme": {"opcua": 1, "opcda": 2, "sparkplug": 3}.get(raw["quality_scheme"], 0),
        "flags": flags,
        "sequence": raw["sequence"],
    }


def unpacked(topic: str, record: Row) -> list[Row]:
    """The readings of one record of either topic, with `_position`."""
    if topic == "ot.raw.reading.v1":
        return [{**record, "_position": None}]
    lengths = [len(record[name]) for name in ARRAYS if record[name] is not None]
    longest = max(lengths, default=0)
    if longest and (record["address"] is None or any(length != longest for length in lengths)):
        raise RejectedError("unequal_lengths")
    return [
        {
            **record,
            **{name: None if record[name] is None else record[name][place] for name in ARRAYS},
            "value_bytes": None,
            "_position": place,
        }
        for place in range(longest)
    ]


def note(expected: Expected, raw: Row, event_time: int, limit: int) -> None:
    """Take one reading of an unknown signal into the inventory, if there is room."""
    key = (raw["source_id"], raw["address"])
    full = key not in expected.unknown and len(expected.unknown) >= limit
    if full or len("".join(key).encode()) > 1024:
        expected.overflow += 1
        return
    numbers = [float(raw[name]) for name in VALUES[:2] if raw[name] is not None and math.isfinite(raw[name])][:1]
    types = {name.removeprefix("value_") for name in VALUES if raw[name] is not None}
    texts = {raw["value_string"][:64]} if raw["value_string"] is not None else set()
    seen = expected.unknown.setdefault(
        key,
        {"first_seen": event_time, "last_seen": event_time, "count": 0, "types": set(), "numbers": [], "texts": set()},
    )
    seen["first_seen"] = min(seen["first_seen"], event_time)
    seen["last_seen"] = max(seen["last_seen"], event_time)
    seen["count"] += 1
    seen["types"] |= types
    seen["numbers"] += numbers
    seen["texts"] |= texts


def time_of(raw: Row, broker: int | None, latest_us: int, oldest_us: int) -> int:
    """The event time; RejectedError where the reading has no address, or no time that can be."""
    if raw["address"] is None:
        raise RejectedError("no_address")
    own = raw["source_time"]
    if own is not None and raw["_by"]:
        own -= raw["_by"]
    times = [time for time in (own, raw["gateway_time"], broker) if time is not None]
    if not times:
        raise RejectedError("no_time")
    if not oldest_us <= times[0] <= latest_us:
        raise RejectedError("impossible_time")
    return int(times[0])


def at_their_times(raws: list[Row], entries: list[tuple[Key, int, int, Row]], limits: clock.Limits) -> None:
    """Bring local times to UTC, by the zone of the version that holds at the stamp as it is."""
    for raw in raws:
        raw.update(_by=0, _ambiguous=False)
        seen, _ = clock.seen_at(raw, limits)
        time = raw["source_time"] if raw["source_time"] is not None else seen or 0
        key = (raw["source_id"], raw["address"])
        zones = [row["time_zone"] for name, begin, end, row in entries if name == key and begin <= time < end]
        if zones and raw["source_time"] is not None:
            raw["source_time"], raw["_ambiguous"] = clock.utc_of(time, zones[0], seen, bool(raw["historical"]))


def is_copy(batch: Row, sent: dict[Key, set[int]], newest: dict[Key, int], latest_us: int) -> bool:
    """Whether this number of this boot came before, with no reading newer than all that the boot sent; notes it."""
    boot, sequence = (batch["source_id"], batch["boot_id"]), batch["sequence"]
    if batch["boot_id"] is None or sequence is None or sequence < 0:
        return False
    times = [time for time in batch["source_time"] or [] if time is not None]
    time = max(times) if times and max(times) <= latest_us else None
    used = sequence in sent.setdefault(boot, set())
    sent[boot].add(sequence)
    before = newest.get(boot)
    if time is not None:
        newest[boot] = time if before is None else max(before, time)
    return used and not (time is not None and before is not None and time > before)


def validate(
    records: list[tuple[str, Row]],
    dictionary: list[Row],
    now_us: int,
    max_future_us: int = 86_400_000_000,
    oldest_us: int = 946_684_800_000_000,
    inventory_limit: int = 100_000,
    limits: clock.Limits = AS_SHIPPED,
) -> Expected:
    """What comes of these records (topic, fields and coordinates), in this order."""
    expected = Expected()
    entries = entries_of(dictionary)
    clocks: dict[str, clock.Source] = {}
    sent: dict[Key, set[int]] = {}
    newest: dict[Key, int] = {}
    for topic, record in records:
        place = (topic, record["_partition"], record["_offset"])
        try:
            raws = unpacked(topic, record)
        except RejectedError as reason:
            expected.rejects.append((str(reason), *place, None, record["source_id"], None))
            continue
        broker = record["_time"] if record["_time"] >= 0 else None
        ingest_time = now_us if broker is None else broker
        if topic == "ot.raw.batch.v1" and is_copy(record, sent, newest, ingest_time + 86_400_000_000):
            expected.copies += 1
            continue
        at_their_times(raws, entries, limits)
        named = [raw for raw in raws if raw["address"] is not None]
        if named and any(key[0] == record["source_id"] for key, _, _, _ in entries):
            expected.clocks += clock.correct(named, clocks, limits)
        for raw in raws:
            try:
                time = time_of(raw, broker, ingest_time + max_future_us, oldest_us)
                key = (raw["source_id"], raw["address"])
                signals = [row for name, begin, end, row in entries if name == key and begin <= time < end]
                if signals:
                    expected.readings.append(reading_of(raw, signals[0], time, ingest_time))
                else:
                    note(expected, raw, time, inventory_limit)
            except RejectedError as reason:
                expected.rejects.append((str(reason), *place, raw["_position"], raw["source_id"], raw["address"]))
    return expected
