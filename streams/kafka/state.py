"""State records: how a task's tables and positions become records of its state topic, and back.

Enters: tables, changes, positions. Leaves: record values below `PART_BYTES`, and from such values `Restored`. A delta
holds what one commit changed, a snapshot everything; both carry the positions up to which they are the truth. The
last part of a snapshot or delta makes it complete; only complete ones count, and in a transaction all are.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import polars as pl

from streams import __version__
from streams.core.stage import Change, Table, Tables, apply

MAGIC: Final = b"PWS1"
PART_BYTES: Final = 480 * 1024
FORMAT: Final = 1
PART: Final = struct.Struct(">4sQII")  # magic, sequence, index of the part, number of parts
FOREIGN: Final = (
    "the state topic holds a record that is not ours: another program writes there, or it was damaged. Give each "
    "deployment its own PLANTWEAVE_TOPIC_PREFIX; `plantweave state reset SERVICE --yes` gives up what is there."
)

Kind = Literal["delta", "snapshot"]


class StateFault(RuntimeError):
    """A state record that this version cannot use; the text says what to do."""


@dataclass(frozen=True)
class Origin:
    """What a state belongs to; a mismatch refuses to start (another cluster, a topic made anew, more partitions).

    Stored with it is the version of the code that wrote it, for people who look into a state; it is not checked.
    """

    cluster_id: str
    topic_ids: Mapping[str, str]
    partitions: int
    service: str
    format: int = FORMAT

    def check(self, found: Mapping[str, Any]) -> None:
        """Raise `StateFault` with every difference between the stored origin `found` and this one."""
        faults = []
        if found["format"] != self.format:
            faults.append(f"format {found['format']} of release {found.get('version')}, this one reads {self.format}")
        if found["service"] != self.service:
            faults.append(f"written by service {found['service']}, not {self.service}")
        if found["cluster_id"] != self.cluster_id:
            faults.append(f"written on cluster {found['cluster_id']}, connected to {self.cluster_id}")
        if found["partitions"] != self.partitions:
            faults.append(f"inputs had {found['partitions']} partitions, now {self.partitions}")
        for topic, topic_id in self.topic_ids.items():
            before = found["topic_ids"].get(topic)
            if before is not None and before != topic_id:
                faults.append(f"topic {topic} was deleted and made anew: its old positions mean nothing")
        if faults:
            raise StateFault(
                f"the state of {self.service} does not fit: {'; '.join(faults)}. Restore the former topics, or give "
                f"up the state with `plantweave state reset {self.service} --yes` (open windows and alarms are lost)."
            )


@dataclass
class Restored:
    """What a state topic's partition held: tables, positions by (topic, partition), context offsets, origin."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    context: dict[str, int] = field(default_factory=dict)
    origin: Mapping[str, Any] | None = None
    records: int = 0
    snapshot_bytes: int = 0
    delta_bytes: int = 0
    watermark_us: int | None = None


def _frame_bytes(frame: pl.DataFrame, compression: Literal["lz4", "zstd"]) -> bytes:
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compression=compression)
    return buffer.getvalue()


def encode(
    kind: Kind,
    changes: Mapping[str, Change],
    positions: Mapping[tuple[str, int], int],
    context: Mapping[str, int],
    origin: Origin,
    sequence: int,
    watermark_us: int | None = None,
) -> list[bytes]:
    """Record values of one commit, in order; the first holds the header, the last completes it."""
    blobs: list[bytes] = []
    entries: list[dict[str, Any]] = []
    for name, change in changes.items():
        entry: dict[str, Any] = {"table": name, "floor": change.floor}
        for part, frame in (("upsert", change.upsert), ("delete", change.delete)):
            if frame is not None and frame.height:
                blobs.append(_frame_bytes(frame, "zstd" if kind == "snapshot" else "lz4"))
                entry[part] = len(blobs[-1])
        entries.append(entry)
    body = b"".join(blobs)
    header = {
        "kind": kind,
        "sequence": sequence,
        "positions": [[topic, partition, offset] for (topic, partition), offset in sorted(positions.items())],
        "context": dict(context),
        "origin": {
            "cluster_id": origin.cluster_id,
            "topic_ids": dict(origin.topic_ids),
            "partitions": origin.partitions,
            "service": origin.service,
            "format": origin.format,
            "version": __version__,
        },
        "entries": entries,
        "watermark_us": watermark_us,
    }
    payload = json.dumps(header, separators=(",", ":")).encode()
    whole = struct.pack(">I", len(payload)) + payload + body
    slices = [whole[at : at + PART_BYTES] for at in range(0, len(whole), PART_BYTES)]
    return [PART.pack(MAGIC, sequence, index, len(slices)) + piece for index, piece in enumerate(slices)]


class Reader:
    """Collects the parts of a state topic's partition, record by record, into `restored`.

    A snapshot replaces everything before it; deltas apply on top in order.
    """

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = {table.name: table for table in tables}
        self._parts: list[bytes] = []
        self._sequence = -1
        self._begun = False
        self.restored = Restored(tables={name: table.empty() for name, table in self._tables.items()})

    def add(self, value: bytes | None) -> None:
        """Take the next record's value; StateFault where it is not a state record."""
        if value is None or value[:4] != MAGIC or len(value) < PART.size:
            raise StateFault(FOREIGN)
        _, sequence, index, count = PART.unpack_from(value)
        if index >= count:
            raise StateFault(FOREIGN)
        if index == 0:
            self._parts, self._sequence = [], sequence
        if sequence != self._sequence or index != len(self._parts):
            self._parts, self._sequence = [], -1  # the head of this one was deleted: a later snapshot follows
            return
        self._parts.append(value[PART.size :])
        self.restored.records += 1
        if index + 1 == count:
            whole = b"".join(self._parts)
            self._parts = []
            try:
                self._take(whole)
            except (struct.error, ValueError, LookupError, TypeError, pl.exceptions.PolarsError) as why:
                raise StateFault(f"{FOREIGN} ({type(why).__name__}: {why})") from why

    def _take(self, whole: bytes) -> None:
        length = struct.unpack_from(">I", whole)[0]
        header = json.loads(whole[4 : 4 + length])
        restored = self.restored
        if header["kind"] != "snapshot" and not self._begun:
            raise StateFault(
                "the state topic begins in the middle: its head was deleted, by a retention or by compaction. Set "
                "cleanup.policy=delete, retention.ms=-1 and retention.bytes=-1 on it; "
                "`plantweave state reset SERVICE --yes` starts from nothing."
            )
        self._begun = True
        if header["kind"] == "snapshot":
            restored.tables = {name: table.empty() for name, table in self._tables.items()}
            restored.snapshot_bytes, restored.delta_bytes = len(whole), 0
        else:
            restored.delta_bytes += len(whole)
        at = 4 + length
        for entry in header["entries"]:
            frames: dict[str, pl.DataFrame] = {}
            table = self._tables.get(entry["table"])
            for part in ("upsert", "delete"):
                if part in entry:
                    if table is not None:
                        frames[part] = pl.read_ipc_stream(io.BytesIO(whole[at : at + entry[part]]))
                    at += entry[part]
            if table is None:
                continue  # a table that this version no longer keeps, or that the reader did not ask for
            floor = entry["floor"]
            change = Change(
                _completed(table, frames.get("upsert")), frames.get("delete"), (floor[0], floor[1]) if floor else None
            )
            restored.tables[table.name] = apply(table, restored.tables[table.name], change)
        restored.positions = {(topic, partition): offset for topic, partition, offset in header["positions"]}
        restored.context = header["context"]
        restored.origin = header["origin"]
        restored.watermark_us = header["watermark_us"]


def _completed(table: Table, rows: pl.DataFrame | None) -> pl.DataFrame | None:
    """`rows` with the columns that the release that wrote them did not have yet: null."""
    if rows is None or not table.key or not set(table.key) <= set(rows.columns):
        return rows
    return rows.with_columns(
        pl.lit(None, dtype).alias(name) for name, dtype in table.schema.items() if name not in rows.columns
    )


def snapshot(tables: Tables) -> dict[str, Change]:
    """The changes that build `tables` from nothing."""
    return {name: Change(upsert=frame) for name, frame in tables.items() if frame.height}
