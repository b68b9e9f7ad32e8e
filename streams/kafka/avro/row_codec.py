"""Many rows of a flat contract at once. Enters: a frame; leaves: one framed value per row, at polars' speed.

`polars.write_avro` encodes a frame's rows one after another; the encoded size of each row, computed from its values
(`avro_sizes`), says where one ends. For contracts in the shape that polars writes: every field and item nullable.
Measured on window records: 55,000 rows/s by fastavro, see docs/decisions/0006-window-records.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from streams.kafka.avro import contracts
from streams.kafka.avro import sizes as avro_sizes
from streams.kafka.avro import writer as avro_writer
from streams.kafka.avro.pack import body


def writable(schema: Mapping[str, Any]) -> bool:
    """Whether polars' bytes are values of this contract: nullable primitives, or arrays of them, null first."""
    return all(_nullable(field["type"]) for field in avro_writer.stripped(schema)["fields"])


def _nullable(declared: Any) -> bool:
    if not (isinstance(declared, list) and len(declared) == 2 and declared[0] == "null"):
        return False
    kind = declared[1]
    if isinstance(kind, Mapping) and kind["type"] == "array":
        return _nullable(kind["items"])
    return not isinstance(kind, Mapping)


class RowEncoder:
    """Encodes rows of one topic; same calls as `codec.Encoder`, which takes what this cannot."""

    def __init__(self, topic: str, prefix: bytes, key: Sequence[str]) -> None:
        self._fields: Final = avro_writer.stripped(contracts.load(topic).schema)["fields"]
        self._columns: Final = avro_writer.columns(contracts.load(topic).schema)
        self._prefix: Final = prefix
        self._key: Final = key

    def encode(self, frame: pl.DataFrame) -> list[tuple[bytes, bytes]]:
        """(key, value) of every row, in order. Columns that the frame lacks are null.

        Raises RuntimeError where polars encodes in another way than the sizes say: pin polars then.
        """
        if not frame.height:
            return []
        given = frame.columns
        rows = frame.select(
            (pl.col(name) if name in given else pl.lit(None)).cast(dtype).alias(name)
            for name, dtype in self._columns.items()
        )
        data = body(rows)
        ends = np.cumsum(avro_sizes.rows(rows, self._fields)).tolist()
        if ends[-1] != len(data):
            raise RuntimeError("polars encodes records in another way than this release was tested with; pin polars")
        keys = frame.select(
            pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in self._key], separator="/")
        )
        prefix, begin, records = self._prefix, 0, []
        encoded = {text: text.encode() for text in keys.to_series().unique().to_list()}
        for key, end in zip(keys.to_series().to_list(), ends, strict=True):
            records.append((encoded[key], prefix + data[begin:end]))
            begin = end
        return records
