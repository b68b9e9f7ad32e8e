"""Our client, and services in Confluent's wire format, with a schema registry that is not ours (Apicurio Registry)."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import fastavro
import pytest

from streams import topology
from streams.kafka.avro import codec, contracts, wire
from streams.kafka.avro.registry import Registry, RegistryError
from streams.kafka.avro.wire import Kind
from streams.settings import Settings
from tests.chaos.deployment import Deployment
from tests.integration import bad_input, harness, real_registry
from tests.integration.real_registry import RealRegistry

pytestmark = pytest.mark.timeout(180)

RAW: Final = contracts.load(topology.RAW_READING.name)
# An id that no schema has, within the four bytes that the wire format has for it.
UNKNOWN: Final = 2_000_000_000
LAST: Final = 15
SIGNAL: Final = {"signal_id": "signal-1", "source_id": "edge-1", "address": "t", "period_ms": 1000,
                 "window_lengths_s": [10]}  # fmt: skip


@pytest.fixture(scope="module")
def real() -> Iterator[RealRegistry]:
    """One registry for all tests here; they keep apart by their subjects."""
    with real_registry.running() as registry:
        yield registry


def client(real: RealRegistry, password: str = real_registry.PASSWORD) -> Registry:
    """Our client with credentials."""
    return Registry(real.url, user=real_registry.USER, password=password, retry_s=20.0)


def access(real: RealRegistry) -> dict[str, Any]:
    """The settings that tell a service of this registry."""
    return {"registry_url": real.url, "registry_username": real_registry.USER,
            "registry_password": real_registry.PASSWORD}  # fmt: skip


def changed(kind: str) -> str:
    """The raw reading's contract with its address as another type."""
    fields = [{**field, "type": kind} if field["name"] == "address" else field for field in RAW.schema["fields"]]
    return json.dumps({**RAW.schema, "fields": fields})


async def test_register_and_read_back(real: RealRegistry) -> None:
    """The same schema has the same id, again and under another subject; another client reads it by that id."""
    async with client(real) as registry:
        ident = await registry.register("dev.readings-value", RAW.text)
        assert await registry.register("dev.readings-value", RAW.text) == ident
        assert await registry.register("test.readings-value", RAW.text) == ident
    async with client(real) as other:
        text = await other.schema(ident)
    assert text is not None
    assert json.loads(text) == RAW.schema


async def test_every_contract_is_valid_and_compatible_there(real: RealRegistry) -> None:
    """Avro's Java implementation takes every released version of every contract, and then the present one."""
    names = [topic.name for topic in topology.topics()]
    async with client(real) as registry:
        for name in names:
            for released in contracts.load(name).released:
                await registry.register(f"line.{name}-value", json.dumps(released))
        framing = await codec.confluent(registry, names, "line.")
    async with client(real) as other:
        for name in names:
            kind, ident = wire.framing(framing.prefix(name))
            assert kind is Kind.CONFLUENT
            assert json.loads(await other.schema(ident) or "") == contracts.load(name).schema


async def test_an_incompatible_or_invalid_schema_is_refused(real: RealRegistry) -> None:
    """The refusal names the subject, gives the registry's reason and says what to do."""
    async with client(real) as registry:
        await registry.register("held-value", changed("long"))
        with pytest.raises(
            RegistryError, match=r"subject held-value holds a version.*\(.*[iI]ncompatible.*another topic"
        ):
            await registry.register("held-value", RAW.text)
        with pytest.raises(RegistryError, match="subject held-value: HTTP 422, 42201"):
            await registry.register("held-value", "{")


async def test_unknown_ids_and_schemas_of_other_languages_are_none(real: RealRegistry) -> None:
    """They are answers, and no reason to ask for ever."""
    proto = {"schema": 'syntax = "proto3"; message Reading { int32 value = 1; }', "schemaType": "PROTOBUF"}
    answer = await asyncio.to_thread(real.ask, "POST", "/subjects/proto-value/versions", proto)
    async with client(real) as registry:
        assert await registry.schema(UNKNOWN) is None
        assert await registry.schema(answer["id"]) is None


async def test_credentials(real: RealRegistry) -> None:
    """Those of the settings let in; none, and wrong ones, are a refusal that is told."""
    async with Registry.of(Settings(**access(real))) as registry:
        ident = await registry.register("known-value", RAW.text)
    for refused in (client(real, "wrong"), Registry(real.url, retry_s=20.0)):
        async with refused as registry:
            with pytest.raises(RegistryError, match=f"schema id {ident}: HTTP 401"):
                await registry.schema(ident)


# -- services --------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What two services made of readings in three versions of the contract, and of an unknown one."""

    target: Deployment
    offset: int


def deploy(bootstrap: str, real: RealRegistry, tmp_path_factory: pytest.TempPathFactory, *names: str) -> Deployment:
    """Services that write Confluent's wire format, nothing running yet."""
    folder = tmp_path_factory.mktemp("registry")
    return harness.deploy(bootstrap, folder, names, framing="confluent", **access(real))


def framed(ident: int, schema: contracts.Schema, second: int) -> bytes:
    """A raw reading as a producer with this version of the contract writes it."""
    body = io.BytesIO(wire.prefix(Kind.CONFLUENT, ident))
    body.seek(0, io.SEEK_END)
    row: dict[str, Any] = {"source_id": "edge-1", "address": "t", "value_double": float(second)}
    row |= {"source_time": bad_input.BASE + second * 1_000_000, "edge_version": 7}
    fastavro.schemaless_writer(body, fastavro.parse_schema(dict(schema)), row)
    return body.getvalue()


async def _register(real: RealRegistry, subject: str) -> list[tuple[int, contracts.Schema]]:
    """A version before the contract, the contract, and one after it, as producers register them, one by one."""
    versions = [bad_input.SCHEMA_IDS[number] for number in (1, 3, 2)]
    async with client(real) as registry:
        return [(await registry.register(subject, json.dumps(schema)), schema) for schema in versions]


@pytest.fixture(scope="module")
def outcome(bootstrap: str, real: RealRegistry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """`validate` and `window` after five records in one batch."""
    target = deploy(bootstrap, real, tmp_path_factory, "validate", "window")
    harness.write_dictionary(target, [SIGNAL])
    versions = asyncio.run(_register(real, f"{target.prefix}{RAW.topic}-value"))
    values = [framed(ident, schema, second) for second, (ident, schema) in enumerate(versions)]
    # The last is event time enough to close the window of the first three.
    values += [framed(UNKNOWN, RAW.schema, 3), framed(*versions[1], LAST)]
    batch = harness.Batch(RAW.topic, [harness.Raw(value) for value in values])
    (offset,) = asyncio.run(harness.send(target, [batch]))
    try:
        harness.start(target, "validate", "window")
        harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")
        harness.until(lambda: target.read(topology.WINDOW.name), "the window to close")
        yield Outcome(target, offset)
    finally:
        target.stop()


async def rows(real: RealRegistry, target: Deployment, topic: topology.Topic) -> list[Any]:
    """A topic's records as a subscriber reads them who knows nothing but the registry."""
    found = []
    async with client(real) as registry:
        for _, value, _ in await asyncio.to_thread(target.read, topic.name):
            kind, ident = wire.framing(value)
            assert kind is Kind.CONFLUENT
            schema = fastavro.parse_schema(json.loads(await registry.schema(ident) or ""))
            found.append(fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None))
    return found


async def test_services_read_every_registered_version(real: RealRegistry, outcome: Outcome) -> None:
    """Three versions in one batch: each is read with the schema that the registry has under its id."""
    readings = await rows(real, outcome.target, topology.READING)
    assert [value for row in readings for value in row["value_double"]] == [0.0, 1.0, 2.0, float(LAST)]


async def test_an_unknown_id_is_a_reject(real: RealRegistry, outcome: Outcome) -> None:
    """In its place, and the detail tells that the registry does not know it."""
    (reject,) = await rows(real, outcome.target, topology.REJECTED)
    assert (reject["reason"], reject["offset"]) == ("schema_unknown", outcome.offset + 3)
    assert reject["detail"] == f"schema id {UNKNOWN}: unknown to the registry"


async def test_services_read_each_other(real: RealRegistry, outcome: Outcome) -> None:
    """`window` counts the three readings of one window that `validate` wrote with an id of the registry."""
    windows = await rows(real, outcome.target, topology.WINDOW)
    assert (windows[0]["signal_id"], windows[0]["count"]) == ("signal-1", 3)


def test_a_subject_that_holds_something_else_keeps_a_service_from_starting(
    bootstrap: str, real: RealRegistry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The worker ends, and tells which subject it is."""
    target = deploy(bootstrap, real, tmp_path_factory, "validate")
    subject = f"{target.prefix}{topology.READING.name}-value"
    other = {"schema": '{"type": "record", "name": "Other", "fields": [{"name": "other", "type": "long"}]}'}
    real.ask("POST", f"/subjects/{subject}/versions", other)
    done = harness.run(target, "worker", "validate")
    assert done.returncode != 0
    assert f"subject {subject} holds a version that this release's contract is not compatible with" in done.stderr
