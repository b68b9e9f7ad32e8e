"""The contracts: what every schema file must be, and the gate that keeps released ones readable."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import avro.schema
import pytest

from streams import topology
from streams.kafka.avro import contracts
from streams.kafka.avro import writer as avro_writer

TOPICS = [topic.name for topic in topology.topics()]
BULK = [topic.name for topic in topology.topics() if topic.bulk]
DERIVED = [topology.WINDOW.name, topology.ALERT.name, topology.KPI.name]
# What every derived record has from version 1 on, so that corrections, rules and proofs need no new version.
ROOM = {"revision", "supersedes", "reason", "evidence", "rule_id", "rule_version"}
ROOM |= {"origin", "site", "tenant", "historical"}
NULLABLE_TIME = ["null", {"type": "long", "logicalType": "timestamp-micros"}]


@pytest.mark.parametrize("name", TOPICS)
def test_every_topic_has_a_contract(name: str) -> None:
    """`avro` parses it; record and fields are named and described by our rules."""
    contract = contracts.load(name)
    schema = contract.schema
    assert (schema["type"], schema["namespace"]) == ("record", "plantweave.v1")
    assert re.fullmatch(r"([A-Z][a-z]+)+", schema["name"])
    assert "Key: " in schema["doc"]
    for part in schema["fields"]:
        assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", part["name"]), part["name"]
        assert part["name"] != "timestamp", "say which time"
        assert part["doc"].endswith("."), part["name"]
    assert contract.schema == json.loads(contract.text)


def test_all_contracts_load_and_no_file_is_left_over() -> None:
    """Every schema file outside `released` belongs to a topic; record names are unique."""
    files = {path for path in contracts.folder().rglob("*.avsc") if contracts.RELEASED not in path.parts}
    assert files == {contracts.folder() / topic.schema_path for topic in topology.topics()}
    loaded = contracts.load_all()
    assert len({contract.schema["name"] for contract in loaded.values()}) == len(loaded) == len(TOPICS)


@pytest.mark.parametrize("name", TOPICS)
def test_site_and_tenant_are_in_every_record(name: str) -> None:
    """One cluster may serve several sites and companies: no record leaves that open."""
    assert {"site", "tenant"} <= {part["name"] for part in contracts.load(name).schema["fields"]}


@pytest.mark.parametrize("name", DERIVED)
def test_every_derived_record_has_room_for_corrections_and_proof(name: str) -> None:
    """Revision, what it supersedes and why, evidence, rule and its version, origin, place, historical."""
    assert {part["name"] for part in contracts.load(name).schema["fields"]} >= ROOM


def test_no_derived_topic_is_left_out() -> None:
    """Topics from the window stage on are derived, but for what is passed on as it came: late readings, evidence. An
    incident is no rule's: it has the same room but for that.
    """
    derived = {topic.name for topic in topology.topics() if topic.folder >= topology.WINDOW.folder}
    incidents = {topology.INCIDENT.name, topology.INCIDENT_CURRENT.name}
    assert derived == {*DERIVED, *incidents, topology.LATE.name, topology.EVIDENCE.name}
    for name in incidents:
        fields = {part["name"] for part in contracts.load(name).schema["fields"]}
        assert fields >= ROOM - {"rule_id", "rule_version"}


@pytest.mark.parametrize("name", BULK)
def test_bulk_contracts_are_flat(name: str) -> None:
    """What is decoded block by block holds (nullable) primitives and arrays of these: read_avro panics on the rest."""
    fields = avro_writer.stripped(contracts.load(name).schema)["fields"]
    assert [part["name"] for part in fields if not avro_writer.flat(part["type"])] == []


@pytest.mark.parametrize("name", TOPICS)
def test_contracts_become_frames(name: str) -> None:
    """Every contract has column types; times are Int64."""
    columns = avro_writer.columns(contracts.load(name).schema)
    times = [part["name"] for part in contracts.load(name).schema["fields"] if part["type"] == NULLABLE_TIME]
    assert all(str(columns[time]) == "Int64" for time in times)


def _crc_64_avro(data: bytes) -> int:
    """The algorithm as the specification prints it (Avro 1.11, Schema Fingerprints)."""
    empty = 0xC15D213AA4D7A795
    table = []
    for byte in range(256):
        entry = byte
        for _ in range(8):
            entry = (entry >> 1) ^ (empty & -(entry & 1))
        table.append(entry)
    fingerprint = empty
    for byte in data:
        fingerprint = (fingerprint >> 8) ^ table[(fingerprint ^ byte) & 0xFF]
    return fingerprint


def test_fingerprints_are_those_of_the_specification() -> None:
    """CRC-64-AVRO of the canonical form; logical types, docs, defaults and aliases do not enter it."""
    assert contracts.fingerprint("int") == _crc_64_avro(b'"int"') == 0x7275D51A3F395C8F
    decorated = {"type": "record", "name": "R", "namespace": "n", "doc": "d", "fields": [
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0, "aliases": ["u"]},
    ]}  # fmt: skip
    canonical = b'{"name":"n.R","type":"record","fields":[{"name":"t","type":"long"}]}'
    assert contracts.fingerprint(decorated) == _crc_64_avro(canonical)


@pytest.mark.parametrize("name", TOPICS)
def test_the_contract_is_released_and_passes_the_gate(name: str) -> None:
    """The newest release is the present contract, and every released version can be read (and, of output topics, can
    read it). Where this fails: undo the change, or `python -m streams.kafka.avro.contracts` releases it.
    """
    schema = contracts.load(name).schema
    assert contracts.gate(name, schema) == []
    assert contracts.read(contracts.releases(name)[-1]) == schema
    assert len({contracts.fingerprint(old) for old in contracts.load(name).released}) == len(contracts.releases(name))


def _changed(name: str, **change: Any) -> contracts.Schema:
    """The contract with a field added or dropped, or with another type for one."""
    schema = contracts.load(name).schema
    fields = [dict(part) for part in schema["fields"] if part["name"] != change.get("drop")]
    for part in fields:
        if part["name"] == change.get("field"):
            part["type"] = change["type"]
    return {**schema, "fields": fields + ([change["add"]] if "add" in change else [])}


NO_DEFAULT = {"name": "extra", "type": "string"}
DEFAULT = {"name": "extra", "type": "string", "default": ""}


@pytest.mark.parametrize(
    ("name", "change", "refused"),
    [
        ("ops.kpi.v1", {"add": DEFAULT}, False),
        ("ops.kpi.v1", {"add": NO_DEFAULT}, True),
        ("ops.kpi.v1", {"drop": "kpi"}, True),
        ("ops.kpi.v1", {"drop": "order_id"}, False),
        ("ops.kpi.v1", {"field": "revision", "type": "long"}, True),
        ("ops.alert.v1", {"field": "state", "type": {"type": "enum", "name": "S", "symbols": ["normal"]}}, True),
        ("ot.reading.v1", {"field": "signal", "type": ["null", {"type": "array", "items": "int"}]}, True),
        ("ot.raw.reading.v1", {"add": NO_DEFAULT}, True),
        ("ot.raw.reading.v1", {"add": DEFAULT}, False),
        ("ot.raw.reading.v1", {"drop": "source_id"}, False),
        ("ot.raw.reading.v1", {"field": "sequence", "type": ["null", "double"]}, False),
        ("it.asset.v1", {"field": "path", "type": "int"}, True),
    ],
)
def test_the_gate_tells_compatible_from_incompatible(name: str, change: dict[str, Any], refused: bool) -> None:
    """Outputs are fully compatible both ways; raw and context topics only have to read what was written before."""
    assert bool(contracts.gate(name, _changed(name, **change))) == refused


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the schemas that may be changed."""
    target = tmp_path / "schemas"
    shutil.copytree(contracts.folder(), target)
    monkeypatch.setattr(contracts, "folder", lambda: target)
    return target


def test_release_copies_what_changed(copied: Path) -> None:
    """A compatible change becomes the next number; without a change nothing is written; names sort by number."""
    assert contracts.release() == []
    path = copied / topology.KPI.schema_path
    for number in range(2, 12):
        schema = json.loads(path.read_text())
        schema["fields"].append({"name": f"extra_{number}", "type": "string", "default": "", "doc": "More."})
        path.write_text(json.dumps(schema))
        assert contracts.release() == [f"ops.kpi.v1.{number}.avsc"]
    assert contracts.releases("ops.kpi.v1")[-1].name == "ops.kpi.v1.11.avsc"
    assert avro.schema.parse((copied / "released" / "ops.kpi.v1.11.avsc").read_text()).type == "record"


def test_release_refuses_an_incompatible_change(copied: Path) -> None:
    """Nothing is written, and the message names topic, version and field."""
    path = copied / topology.KPI.schema_path
    schema = json.loads(path.read_text())
    schema["fields"].append({"name": "extra", "type": "string", "doc": "More."})
    path.write_text(json.dumps(schema))
    before = sorted((copied / "released").iterdir())
    with pytest.raises(contracts.ContractError, match=r"ops\.kpi\.v1: cannot read what ops\.kpi\.v1\.1\.avsc.*extra"):
        contracts.release()
    assert sorted((copied / "released").iterdir()) == before


@pytest.mark.parametrize("text", ["{", '{"type": "record"}', '{"type": "record", "name": "R", "fields": [{}]}'])
def test_a_broken_schema_file_is_named(copied: Path, text: str) -> None:
    """Start-up lists the file and what `avro` says of it."""
    (copied / topology.KPI.schema_path).write_text(text)
    contracts.load.cache_clear()
    try:
        with pytest.raises(contracts.ContractError, match=r"ops\.kpi\.v1\.avsc: no Avro schema.*correct the schema"):
            contracts.load_all()
    finally:
        contracts.load.cache_clear()
