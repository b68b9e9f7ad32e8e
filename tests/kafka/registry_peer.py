"""A peer that speaks a schema registry's REST interface, as Confluent documents it, and fails on request.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html: errors are JSON objects with `error_code`
and `message`; 40403 schema not found, 409 incompatible schema, 42201 invalid schema.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from streams.kafka.avro import contracts

_TYPE = "application/vnd.schemaregistry.v1+json"


def _answer(body: Any, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(body), status=status, content_type=_TYPE)


def _error(code: int, message: str, status: int) -> web.Response:
    return _answer({"error_code": code, "message": message}, status)


class RegistryPeer:
    """Subjects with their versions, ids by schema; `outage` holds what the next requests are answered with."""

    def __init__(self) -> None:
        self.schemas: list[dict[str, str]] = []
        self.subjects: dict[str, list[int]] = {}
        self.outage: list[web.Response | None] = []
        self.requests: list[tuple[str, str, str | None]] = []
        self.url = ""

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.method, request.path, request.headers.get("Authorization")))
        if self.outage:
            response = self.outage.pop(0)
            if response is None:  # cut the line in the middle of the answer
                assert request.transport is not None
                request.transport.close()
                return web.Response()
            return response
        if request.method == "POST" and request.content_type != _TYPE:
            return _error(415, "HTTP 415 Unsupported Media Type", 415)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _schema(self, request: web.Request) -> web.Response:
        ident = int(request.match_info["id"])
        if not 0 < ident <= len(self.schemas):
            return _error(40403, f"Schema {ident} not found", 404)
        return _answer(self.schemas[ident - 1])

    async def _register(self, request: web.Request) -> web.Response:
        body = await request.json()
        try:
            schema = contracts.parse(body["schema"])
        except contracts.ContractError as error:
            return _error(42201, f"Invalid schema: {error}", 422)
        versions = self.subjects.setdefault(request.match_info["subject"], [])
        for ident in versions:
            if contracts.incompatibilities(schema, json.loads(self.schemas[ident - 1]["schema"])):
                return _error(409, "Schema being registered is incompatible with an earlier schema", 409)
        entry = {"schema": body["schema"]}
        if entry not in self.schemas:
            self.schemas.append(entry)
        ident = self.schemas.index(entry) + 1
        if ident not in versions:
            versions.append(ident)
        return _answer({"id": ident})

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[str]:
        """Serve on a port of 127.0.0.1 (a free one by default); yields the URL."""
        app = web.Application(middlewares=[self._gate])
        app.router.add_get("/schemas/ids/{id}", self._schema)
        app.router.add_post("/subjects/{subject}/versions", self._register)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
