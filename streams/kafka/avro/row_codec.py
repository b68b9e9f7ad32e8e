"""Many rows of a flat contract at once. Enters: a frame; leaves: one framed value per row, at polars' speed.

`polars.write_avro` encodes a frame's rows one after another; the encoded size of each row, computed from its values
(`avro_sizes`), says where one ends. For contracts of primitives and arrays of these, nullable (null first) or not
(`strict`). Measured in docs/decisions/0006-window-records.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from streams.kafka.avro import codec, contracts, strict
from streams.kafka.avro import writer as avro_writer

# So many rows fastavro has written before polars has begun: 2 ms, for evidence.
FEW: Final = 64


def writable(schema: Mapping[str, Any]) -> bool:
    """Whether polars' bytes are values of this contract: flat, and null is the first branch where there is one."""
    kinds = [field["type"] for field in avro_writer.stripped(schema)["fields"]]
    return all(avro_writer.flat(kind) and _null_first(kind) for kind in kinds)


def _null_first(declared: Any) -> bool:
    kind, nullable = avro_writer.core(declared)
    first = not nullable or declared[0] == "null"
    return first and (not isinstance(kind, Mapping) or _null_first(kind["items"]))


class RowEncoder:
    """Encodes rows of one topic; same calls and same bytes as `codec.Encoder`, which takes what this cannot, and a few
    rows faster.
    """

    def __init__(self, topic: str, framing: codec.Framing, key: str, few: int = FEW) -> None:
        self._fields: Final = avro_writer.stripped(contracts.load(topic).schema)["fields"]
        self._columns: Final = avro_writer.columns(contracts.load(topic).schema)
        self._defaults: Final = {part["name"]: part.get("default") for part in self._fields}
        self._prefix: Final = framing.prefix(topic)
        self._key: Final = key.split("/")
        self._single: Final = codec.Encoder(topic, framing, key)
        self._few: Final = few

    def encode(self, frame: pl.DataFrame) -> list[tuple[bytes, bytes]]:
        """(key, value) of every row, in order. Columns that the frame lacks take the contract's default.

        Raises what `strict.encode` and `codec.Encoder.encode` raise.
        """
        if frame.height <= self._few:
            return self._single.encode(frame)
        given = frame.columns
        data, bounds = strict.encode(
            frame.select(
                pl.col(name).cast(dtype) if name in given else pl.lit(self._defaults[name], dtype).alias(name)
                for name, dtype in self._columns.items()
            ),
            self._fields,
        )
        keys = frame.select(
            pl.concat_str([pl.col(name).cast(pl.String).fill_null("") for name in self._key], separator="/")
        )
        prefix, begin, records = self._prefix, 0, []
        encoded = {text: text.encode() for text in keys.to_series().unique().to_list()}
        for key, end in zip(keys.to_series().to_list(), bounds.tolist(), strict=True):
            records.append((encoded[key], prefix + data[begin:end]))
            begin = end
        return records
