"""Contracts: the Avro schemas under `schemas/`. Enters: a topic's name. Leaves: its `Contract`, parsed and checked.

`avro` is the authority on what is valid and what is compatible. `schemas/released/<topic>.<n>.avsc` holds a copy of
every version that was ever released: single-object encoding needs them to read what old producers send, and the
compatibility gate compares against all of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import avro.compatibility
import avro.errors
import avro.schema
import fastavro.schema

from streams import topology

Schema = Mapping[str, Any]
RELEASED: Final = "released"


class ContractError(Exception):
    """A schema that cannot be used; the message names the file and what to do."""


@dataclass(frozen=True)
class Contract:
    """The contract of one topic: its present schema and all released ones, oldest first."""

    topic: str
    schema: Schema
    fingerprint: int
    released: tuple[Schema, ...] = ()

    @property
    def text(self) -> str:
        """The schema as JSON, as a registry takes it."""
        return json.dumps(self.schema, separators=(",", ":"))


def folder() -> Path:
    """Where the schemas are: in the installed package, else beside it in the checkout. ContractError where nowhere."""
    package = Path(__file__).resolve().parents[2]
    for candidate in (package / "_schemas", package.parent / "schemas"):
        if candidate.is_dir():
            return candidate
    raise ContractError(f"no schemas beside {package}; install the package again, or run from a complete checkout")


@cache
def load(topic: str) -> Contract:
    """The contract of `topic` (a name of the topology, without prefix). Raises KeyError or ContractError."""
    path = folder() / topology.topic(topic).schema_path
    schema = read(path)
    return Contract(topic, schema, fingerprint(schema), tuple(read(file) for file in releases(topic)))


def load_all() -> dict[str, Contract]:
    """The contracts of all topics of the topology. Raises ContractError with every fault listed."""
    contracts, faults = {}, []
    for topic in topology.topics():
        try:
            contracts[topic.name] = load(topic.name)
        except ContractError as error:
            faults.append(str(error))
    if faults:
        raise ContractError("; ".join(faults))
    return contracts


def read(path: Path) -> Schema:
    """The schema in a file, checked by `avro`. Raises ContractError."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ContractError) as error:
        raise ContractError(f"{path.name}: {error}; correct the schema file") from error


def parse(text: str) -> Schema:
    """The schema in a JSON text, checked by `avro`. Raises ContractError."""
    try:
        avro.schema.parse(text)
    except (ValueError, RecursionError, avro.errors.AvroException) as error:
        raise ContractError(f"no Avro schema: {error}") from error
    schema: Schema = json.loads(text)
    return schema


def fingerprint(schema: Schema | str) -> int:
    """CRC-64-AVRO of the parsing canonical form, as single-object encoding uses it (Avro 1.11 specification).

    Not by `avro`: its canonical form keeps `{"type": "long"}` where the specification, Java and C# write `"long"`, so
    that a schema with logical types gets a fingerprint nobody else computes.
    """
    canonical = fastavro.schema.to_parsing_canonical_form(json.loads(json.dumps(schema)))
    return int.from_bytes(bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO")), "little")


def incompatibilities(reader: Schema | str, writer: Schema | str) -> list[str]:
    """Why data written with `writer` cannot be read with `reader`; empty where it can (`avro`'s own checker)."""
    checker = avro.compatibility.ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(avro.schema.parse(json.dumps(reader)), avro.schema.parse(json.dumps(writer)))
    if result.compatibility is avro.compatibility.SchemaCompatibilityType.compatible:
        return []
    places = sorted(result.locations)
    return [f"{', '.join(places) or '/'}: {message}" for message in sorted(result.messages)]


def releases(topic: str) -> list[Path]:
    """Files of the released versions of `topic`, oldest first."""
    files = (folder() / RELEASED).glob(f"{topic}.*.avsc")
    return sorted(files, key=lambda file: int(file.name.removesuffix(".avsc").rpartition(".")[2]))


def gate(topic: str, schema: Schema) -> list[str]:
    """What keeps `schema` from being the next version of `topic`, against every released version.

    Output topics (folders 20 and up) are FULL_TRANSITIVE: subscribers may be older or newer than the data. Context and
    raw topics are BACKWARD_TRANSITIVE: we read what any released producer writes.
    """
    full = int(topology.topic(topic).folder.partition("-")[0]) >= 20
    faults = []
    for path in releases(topic):
        old = read(path)
        faults += [f"cannot read what {path.name} wrote: {fault}" for fault in incompatibilities(schema, old)]
        if full:
            faults += [f"{path.name} cannot read it: {fault}" for fault in incompatibilities(old, schema)]
    return faults


def release() -> list[str]:
    """Copy every contract that differs from its newest release to `schemas/released`; the names of the new files.

    Raises ContractError, and writes nothing, where one of them fails the gate.
    """
    new: dict[Path, str] = {}
    faults = []
    for topic in topology.topics():
        path = folder() / topic.schema_path
        schema, old = read(path), releases(topic.name)
        if old and read(old[-1]) == schema:
            continue
        faults += [f"{topic.name}: {fault}" for fault in gate(topic.name, schema)]
        number = int(old[-1].name.removesuffix(".avsc").rpartition(".")[2]) + 1 if old else 1
        new[folder() / RELEASED / f"{topic.name}.{number}.avsc"] = path.read_text(encoding="utf-8")
    if faults:
        raise ContractError("not released: " + "; ".join(faults))
    for file, text in new.items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return [file.name for file in new]


if __name__ == "__main__":
    sys.stdout.write("".join(f"released {name}\n" for name in release()) or "nothing has changed\n")
