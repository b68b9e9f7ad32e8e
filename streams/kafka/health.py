"""HTTP of a worker: /live, /ready and /metrics, on loopback unless configured. Enters: the tasks; leaves: answers."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from streams.kafka.metrics import Metrics

Check = Callable[[], list[str]]


class Health:
    """A small server; `ready` and `live` return what speaks against it, an empty list means yes."""

    def __init__(self, metrics: Metrics, ready: Check, live: Check) -> None:
        self._metrics = metrics
        self._ready = ready
        self._live = live
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 takes any free one, `port` then tells which. OSError where the port is taken."""
        app = web.Application()
        app.router.add_get("/live", self._on_live)
        app.router.add_get("/ready", self._on_ready)
        app.router.add_get("/metrics", self._on_metrics)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        addresses = self._runner.addresses
        self.port = int(addresses[0][1]) if addresses else port

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _on_live(self, _request: web.Request) -> web.Response:
        return _answer(self._live())

    async def _on_ready(self, _request: web.Request) -> web.Response:
        return _answer(self._ready())

    async def _on_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})


def _answer(against: list[str]) -> web.Response:
    return web.json_response({"ok": not against, "against": against}, status=503 if against else 200)
