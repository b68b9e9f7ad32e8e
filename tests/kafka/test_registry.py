"""The client of a schema registry: answers, refusals, and outages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from streams.kafka.avro import codec, contracts
from streams.kafka.avro.registry import Registry, RegistryError
from streams.kafka.embedded.ports import free_port
from streams.settings import Settings
from tests.kafka.registry_peer import RegistryPeer

SCHEMA = contracts.load("ot.raw.reading.v1").text


@pytest.fixture
async def peer() -> AsyncIterator[RegistryPeer]:
    """A running registry."""
    peer = RegistryPeer()
    async with peer.running() as url:
        peer.url = url
        yield peer


def client(url: str, retry_s: float | None = 5.0) -> Registry:
    """A client that does not wait long."""
    return Registry(url + "/", retry_s=retry_s, backoff_s=0.01, max_backoff_s=0.05, timeout_s=2.0)


async def test_register_and_read_back(peer: RegistryPeer) -> None:
    """The same schema has the same id under every subject; another client reads it by that id."""
    async with client(peer.url) as registry:
        ident = await registry.register("dev.readings-value", SCHEMA)
        assert await registry.register("dev.readings-value", SCHEMA) == ident
        assert await registry.register("test.readings-value", SCHEMA) == ident
    async with client(peer.url) as other:
        assert await other.schema(ident) == SCHEMA


async def test_ids_are_asked_for_once(peer: RegistryPeer) -> None:
    """An id never changes its schema: the second question is answered from memory. An unknown one is asked again."""
    async with client(peer.url) as registry:
        assert await registry.schema(1) is None
        async with client(peer.url) as producer:
            assert await producer.register("readings-value", SCHEMA) == 1
        assert await registry.schema(1) == SCHEMA
        assert await registry.schema(1) == SCHEMA
    assert [path for _, path, _ in peer.requests].count("/schemas/ids/1") == 2


async def test_contracts_get_their_ids_at_start(peer: RegistryPeer) -> None:
    """`codec.confluent` registers every contract under its subject and frames with the ids."""
    async with client(peer.url) as registry:
        framing = await codec.confluent(registry, ["ot.reading.v1", "ops.kpi.v1"], "dev.")
    assert list(peer.subjects) == ["dev.ot.reading.v1-value", "dev.ops.kpi.v1-value"]
    assert framing.prefix("ops.kpi.v1") == b"\x00\x00\x00\x00\x02"


async def test_an_incompatible_subject_is_refused(peer: RegistryPeer) -> None:
    """A subject that holds something else keeps a service from starting, and the message says what to do."""
    async with client(peer.url) as registry:
        await registry.register("s-value", '{"type": "record", "name": "Other", "fields": []}')
        with pytest.raises(RegistryError, match=r"s-value holds a version.*incompatible.*another topic prefix"):
            await registry.register("s-value", SCHEMA)
        with pytest.raises(RegistryError, match="HTTP 422, 42201: Invalid schema"):
            await registry.register("s-value", "{")


async def test_schemas_of_other_languages_are_none(peer: RegistryPeer) -> None:
    """Protobuf and JSON schemas share the ids: they are no Avro schema."""
    peer.schemas.append({"schema": 'syntax = "proto3";', "schemaType": "PROTOBUF"})
    async with client(peer.url) as registry:
        assert await registry.schema(1) is None


async def test_credentials_are_sent_and_their_refusal_is_told(peer: RegistryPeer) -> None:
    """Basic authentication; 401 is a refusal, not an unknown schema and no reason to ask for ever."""
    peer.outage = [web.Response(status=401, text="<html>Unauthorized</html>")]
    async with Registry(peer.url, user="edge", password="secret") as registry:  # noqa: S106 - of this test
        with pytest.raises(RegistryError, match=r"schema id 1: HTTP 401.*Unauthorized"):
            await registry.schema(1)
    assert peer.requests[0][2] == "Basic ZWRnZTpzZWNyZXQ="
    settings = Settings(registry_url=peer.url, registry_username="edge", registry_password="secret")  # noqa: S106
    async with Registry.of(settings) as registry:
        assert await registry.schema(1) is None
    assert peer.requests[1][2] == peer.requests[0][2]


async def test_an_outage_costs_time_and_nothing_else(peer: RegistryPeer) -> None:
    """Errors of the server, too many requests, cut connections: asked again until there is an answer."""
    peer.schemas.append({"schema": SCHEMA})
    peer.outage = [web.Response(status=500, text="boom"), web.Response(status=429), None, web.Response(status=503)]
    async with client(peer.url) as registry:
        assert await registry.schema(1) == SCHEMA
    assert len(peer.requests) == 5


async def test_a_registry_that_starts_late_is_waited_for() -> None:
    """Nobody listens yet: the call waits, without end by default, and is answered once the registry is up."""
    port = free_port()
    async with client(f"http://127.0.0.1:{port}", retry_s=None) as registry:
        question = asyncio.ensure_future(registry.register("s-value", SCHEMA))
        done, _ = await asyncio.wait([question], timeout=0.1)
        assert not done
        async with RegistryPeer().running(port):
            assert await question == 1


async def test_waiting_has_a_bound_where_one_is_set() -> None:
    """With `retry_s` the call ends with an error that names the registry and the last reason."""
    url = f"http://127.0.0.1:{free_port()}"
    async with client(url, retry_s=0.05) as registry:
        with pytest.raises(TimeoutError, match=rf"{url}: no answer for 0\.05 s .*is the registry up"):
            await registry.schema(1)


async def test_not_opened() -> None:
    """Used without `async with` it says how to use it."""
    with pytest.raises(RuntimeError, match="async with Registry"):
        await Registry("http://127.0.0.1:1").schema(1)
