"""A door between clients and a broker that can be shut for what is produced, and for nothing else.

In: the broker's port and a port for the clients. Out: a TCP proxy in a thread. While it is shut, a connection that
sends a Produce request (API key 0, https://kafka.apache.org/protocol) is held at that request: a downstream that takes
nothing, while everything can still be read.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
PRODUCE: Final = 0


class Door:
    """The proxy; use it as a context manager, and `shut` and `open` it from any thread."""

    def __init__(self, broker_port: int, port: int) -> None:
        self._broker_port, self._port = broker_port, port
        self._open = asyncio.Event()
        self._open.set()
        self.passed = 0  # Produce requests that came through
        self.held = 0  # and those that were held
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.start_server(self._serve, HOST, self._port)
        self._server = asyncio.run_coroutine_threadsafe(server, self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def shut(self) -> None:
        """Hold every Produce request from now on."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def open(self) -> None:
        """Let them through again, those that were held first."""
        self._loop.call_soon_threadsafe(self._open.set)

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        try:
            broker, requests = await asyncio.open_connection(HOST, self._broker_port)
        except OSError:
            answers.close()
            return
        # Either side may close: the other one is closed then, too.
        ways = [
            asyncio.ensure_future(way) for way in (self._requests(client, requests), self._answers(broker, answers))
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in (requests, answers):
                writer.close()
            # A loop that ends before they are closed leaves their sockets to the garbage collector.
            await asyncio.gather(requests.wait_closed(), answers.wait_closed(), return_exceptions=True)

    async def _requests(self, client: asyncio.StreamReader, broker: asyncio.StreamWriter) -> None:
        while True:
            head = await client.readexactly(6)  # length of the rest, API key
            if int.from_bytes(head[4:], "big") == PRODUCE:
                self.held += not self._open.is_set()
                await self._open.wait()
                self.passed += 1
            broker.write(head + await client.readexactly(int.from_bytes(head[:4], "big") - 2))
            await broker.drain()

    async def _answers(self, broker: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await broker.read(1 << 18):
            client.write(data)
            await client.drain()
