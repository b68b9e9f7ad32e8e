"""How the real services read and write: contracts, framing and registry behind the two calls a task makes.

Enters: chunks of blocks, output frames. Leaves: rows of the core's frames, rejects, Avro records.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Final

import polars as pl

from streams import topology
from streams.kafka.avro import block as avro_block
from streams.kafka.avro import codec, columnar, contracts
from streams.kafka.avro.registry import Registry
from streams.kafka.avro.row_codec import RowEncoder, writable
from streams.kafka.avro.schemas import WriterSchemas
from streams.kafka.chunks import Chunk
from streams.kafka.persons import IDENTITY, TEXT, personal
from streams.kafka.service import Decoded, Record
from streams.settings import Settings

log = logging.getLogger(__name__)

# A record holds one reading, and what is larger would not fit into a record again: brokers take 1 MiB as installed, and
# compression lets more than that come in.
_VALUE_LIMITS: Final = {topology.RAW_READING.name: 896 << 10}


async def learn(schemas: WriterSchemas, idents: frozenset[int], registry: Registry) -> None:
    """Ask the registry for these schema ids; what it does not know, or refuses, is known as unknown from then on."""
    for ident in idents:
        schemas.add(ident, await registry.schema(ident))


def _encoder(topic: topology.Topic, framing: codec.Framing) -> codec.Encoder | RowEncoder:
    """The fast encoder, where the contract is in its shape."""
    if writable(contracts.load(topic.name).schema):
        return RowEncoder(topic.name, framing, topic.key)
    return codec.Encoder(topic.name, framing, topic.key)


class AvroSerde:
    """Serde of one stage of the topology. `start` must have been awaited before the first record is written."""

    def __init__(self, settings: Settings, stage: topology.Stage) -> None:
        self._settings = settings
        self._registry = Registry.of(settings) if settings.registry_url else None
        self._readers = {
            topic.name: WriterSchemas(contracts.load(topic.name), registry=self._registry is not None)
            for topic in stage.reads
        }
        self._written = stage.writes
        self._prefixes: dict[str, bytes] = {}
        self._encoders: dict[str, codec.Encoder | RowEncoder] = {}

    async def start(self) -> None:
        """Learn the framing of every output; with Confluent framing this registers the contracts. Compile the decoder.

        Raises RegistryError where the registry refuses, TimeoutError where it does not answer.
        """
        begin = monotonic()
        for schemas in self._readers.values():
            schemas.warm()
        log.info("decoders ready", extra={"seconds": round(monotonic() - begin, 1)})
        framing = codec.single_object()
        if self._registry is not None:
            await self._registry.__aenter__()
            if self._settings.framing == "confluent":
                names = [topic.name for topic in self._written]
                framing = await codec.confluent(self._registry, names, self._settings.topic_prefix)
        for topic in self._written:
            self._prefixes[topic.name] = framing.prefix(topic.name)
            if topic.layout == "row":
                self._encoders[topic.name] = _encoder(topic, framing)

    async def stop(self) -> None:
        """Close the connection to the registry."""
        if self._registry is not None:
            await self._registry.__aexit__(None, None, None)

    async def decode(self, topic: topology.Topic, chunk: Chunk, from_offset: int) -> Decoded:
        """Rows of `chunk` from `from_offset` on; what cannot be read is in the rejects. Never raises on data."""
        schemas, limit = self._readers[topic.name], _VALUE_LIMITS.get(topic.name, avro_block.VALUE_LIMIT_BYTES)
        decoded = avro_block.decode(chunk.records, schemas, from_offset, value_limit=limit)
        while decoded.needs and self._registry is not None:
            await learn(schemas, decoded.needs, self._registry)
            decoded = avro_block.decode(chunk.records, schemas, from_offset, value_limit=limit)
        counts = {("unkeyed", topic.name): decoded.keyless} if decoded.keyless else {}
        if topic.layout == "columnar":
            decoded = columnar.unpack(decoded, chunk.topic)
        if not decoded.rejects.height:
            return Decoded(decoded.frame, counts=counts)
        counted = decoded.rejects["reason"].value_counts().rows()
        counts |= {("rejects", str(reason)): int(count) for reason, count in counted}
        # Coordinates name topics without the deployment's prefix, as the core's rejects and the alerts' evidence do.
        site, tenant = pl.lit(self._settings.site), pl.lit(self._settings.tenant or None, pl.String())
        rejects = decoded.rejects.with_columns(site=site, tenant=tenant, topic=pl.lit(topic.name))
        if personal(topic.name, IDENTITY) or personal(topic.name, TEXT):
            # Nobody knows what stands in a record that cannot be read; where names may, it is not told on.
            rejects = rejects.with_columns(payload=pl.lit(None, pl.Binary))
        return Decoded(decoded.frame, rejects, counts)

    def encode(self, topic: topology.Topic, frame: pl.DataFrame) -> Sequence[Record]:
        """Records for the rows of `frame`: columnar topics hold many rows each; of what has ended only the key."""
        if topic.layout == "columnar":
            pairs = columnar.pack(frame, self._prefixes[topic.name])
        else:
            pairs = self._encoders[topic.name].encode(frame)
        if not topic.ends:
            return [Record(key, value) for key, value in pairs]
        ended = frame["state"].is_in(topic.ends)
        return [Record(key, None if over else value) for (key, value), over in zip(pairs, ended, strict=True)]
