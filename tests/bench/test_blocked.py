"""The door that the memory measurement shuts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from streams.kafka.embedded.ports import free_port
from tests.bench.blocked import HOST, Door

PRODUCE = (8).to_bytes(4, "big") + (0).to_bytes(2, "big") + b"produc"
FETCH = (8).to_bytes(4, "big") + (1).to_bytes(2, "big") + b"fetch."


@pytest.fixture
async def door() -> AsyncIterator[tuple[Door, int]]:
    """A door before a server that sends back what it receives, and the door's port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    port = free_port()
    with Door(server.sockets[0].getsockname()[1], port) as opened:
        yield opened, port
    server.close()


async def test_a_shut_door_holds_what_is_produced_and_nothing_else(door: tuple[Door, int]) -> None:
    """Produce requests wait until the door opens and then arrive whole; other requests pass all the time."""
    opened, port = door
    reader, writer = await asyncio.open_connection(HOST, port)
    other, others = await asyncio.open_connection(HOST, port)
    writer.write(PRODUCE)
    assert await reader.readexactly(len(PRODUCE)) == PRODUCE
    opened.shut()
    others.write(FETCH)
    assert await other.readexactly(len(FETCH)) == FETCH
    writer.write(PRODUCE)
    held = asyncio.ensure_future(reader.readexactly(len(PRODUCE)))
    assert not (await asyncio.wait([held], timeout=0.3))[0]
    assert (opened.passed, opened.held) == (1, 1)
    opened.open()
    assert await asyncio.wait_for(held, 10) == PRODUCE
    assert opened.passed == 2
    for each in (writer, others):
        each.close()
