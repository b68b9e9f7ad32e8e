"""Writer schemas of one topic. Enters: fingerprints and registry ids. Leaves: plans to read with."""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import polars as pl

from streams import topology
from streams.kafka.avro import contracts
from streams.kafka.avro import writer as avro_writer
from streams.kafka.avro.wire import PADDING, Kind, prefix
from streams.kafka.avro.writer import Writer

# Topics that only this program writes.
OURS: Final = frozenset(topic.name for stage in topology.STAGES for topic in stage.writes)


class WriterSchemas:
    """Plans by framing: fingerprints of all committed versions of the contract, ids as the registry told them.

    With `registry` unknown ids are asked for (`find` returns None) until `add` answers; without one they are unknown
    for good.
    """

    def __init__(self, contract: contracts.Contract, *, registry: bool = False) -> None:
        self.contract: Final = contract
        self.columns: Final[pl.Schema] = avro_writer.columns(contract.schema)
        self._registry: Final = registry
        self._foreign: Final = contract.topic not in OURS
        versions = {contracts.fingerprint(schema): schema for schema in (*contract.released, contract.schema)}
        self._single = {ident: self._plan(schema) for ident, schema in versions.items()}
        self._confluent: dict[int, Writer] = {}

    def find(self, kind: Kind, ident: int) -> Writer | None:
        """The plan for a fingerprint or id; one with `fault` where there is no way; None: ask the registry first."""
        if kind is Kind.SINGLE_OBJECT:
            unknown = "no committed version of the contract has this fingerprint; its producer must be brought in line"
            return self._single.get(ident) or Writer(fault=f"fingerprint {ident:016x}: {unknown}")
        writer = self._confluent.get(ident)
        if writer is None and not self._registry:
            return Writer(fault=f"schema id {ident}: no schema registry is configured")
        return writer

    def warm(self) -> None:
        """Have what decodes and checks values compiled: seconds, the first time on a machine."""
        kind, ident = Kind.SINGLE_OBJECT, self.contract.fingerprint
        layout = self._single[ident].layout
        if layout is not None:
            layout.read(bytes(PADDING), np.zeros((4, 1), np.int64), prefix(kind, ident), 0)
        self._single[ident].sound(b"", np.zeros(0, np.int64))

    def add(self, ident: int, schema: contracts.Schema | str | None, detail: str = "") -> None:
        """What the registry says about an id; None: it does not know it, `detail` tells why."""
        if schema is None:
            self._confluent[ident] = Writer(fault=f"schema id {ident}: {detail or 'unknown to the registry'}")
            return
        try:
            parsed = contracts.parse(schema if isinstance(schema, str) else json.dumps(schema))
            fault = "" if isinstance(parsed, dict) and parsed["type"] == "record" else "it is not a record"
        except contracts.ContractError as error:
            parsed, fault = {}, str(error)
        plan = Writer(fault=fault) if fault else self._plan(parsed)
        self._confluent[ident] = Writer(fault=f"schema id {ident}: {plan.fault}") if plan.fault else plan

    def _plan(self, schema: contracts.Schema) -> Writer:
        return avro_writer.plan(schema, self.contract.schema, foreign=self._foreign)
