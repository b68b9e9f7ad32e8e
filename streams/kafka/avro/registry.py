"""A schema registry with Confluent's REST interface. Enters: ids and schemas. Leaves: schemas and ids.

Ids never change their schema, so what was fetched once is kept. An outage is no answer: calls wait with backoff and try
again, so that a registry that restarts costs time and no reading. What the registry *says* is an answer: an unknown id
is None, an incompatible schema raises `RegistryError`.
Interface: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from streams.settings import Settings

_CONTENT_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_UNKNOWN_SCHEMA: Final = 40403
_log = logging.getLogger(__name__)


class RegistryError(Exception):
    """The registry refuses what it was asked; the message says what to do."""


class Registry:
    """Client of one registry; use as `async with`. `retry_s` bounds the wait for an answer (None: without end)."""

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str = "",
        timeout_s: float = 5.0,
        retry_s: float | None = None,
        backoff_s: float = 0.2,
        max_backoff_s: float = 10.0,
    ) -> None:
        self._url: Final = url.rstrip("/")
        self._headers: Final = {"Accept": _CONTENT_TYPE, "Content-Type": _CONTENT_TYPE}
        if user is not None:
            self._headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._timeout: Final = aiohttp.ClientTimeout(total=timeout_s)
        self._retry_s, self._backoff_s, self._max_backoff_s = retry_s, backoff_s, max_backoff_s
        self._schemas: dict[int, str | None] = {}
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def of(cls, settings: Settings, retry_s: float | None = None) -> Self:
        """The registry that the settings name, with their credentials."""
        user = settings.registry_username or None
        return cls(settings.registry_url, user=user, password=settings.registry_password, retry_s=retry_s)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def schema(self, ident: int) -> str | None:
        """The Avro schema with this id as JSON; None where the registry does not know it, or it is no Avro schema.

        Raises RegistryError where it refuses to tell, TimeoutError after `retry_s` without an answer.
        """
        known = self._schemas.get(ident)
        if known is not None:
            return known
        status, answer = await self._ask("GET", f"/schemas/ids/{ident}")
        if status == 404 and answer.get("error_code") in {_UNKNOWN_SCHEMA, 404}:
            return None  # not kept: a producer may register it in the next moment
        if status != 200:
            raise RegistryError(f"{self._url}: schema id {ident}: {_said(status, answer)}")
        if answer.get("schemaType", "AVRO") != "AVRO":
            return None
        self._schemas[ident] = str(answer["schema"])
        return self._schemas[ident]

    async def register(self, subject: str, schema: str) -> int:
        """The id of `schema` under `subject`, registered if it was not. Raises RegistryError where it is refused."""
        status, answer = await self._ask("POST", f"/subjects/{subject}/versions", {"schema": schema})
        if status == 409:
            raise RegistryError(
                f"{self._url}: subject {subject} holds a version that this release's contract is not compatible with "
                f"({answer.get('message', '')}); use another topic prefix, or the release that fits the subject"
            )
        if status != 200:
            raise RegistryError(f"{self._url}: subject {subject}: {_said(status, answer)}")
        ident = int(answer["id"])
        self._schemas.setdefault(ident, schema)
        return ident

    async def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer; 5xx, 429 and connection errors are asked again."""
        loop = asyncio.get_running_loop()
        deadline = None if self._retry_s is None else loop.time() + self._retry_s
        wait = self._backoff_s
        while True:
            try:
                status, answer = await self._once(method, path, body)
                reason = _said(status, answer)
            except (aiohttp.ClientError, TimeoutError) as error:
                status, answer, reason = 503, {}, f"{type(error).__name__}: {error}"
            if status < 500 and status != 429:
                return status, answer
            if deadline is not None and loop.time() + wait > deadline:
                raise TimeoutError(f"{self._url}: no answer for {self._retry_s} s ({reason}); is the registry up?")
            _log.warning("%s%s: %s; asking again in %.1f s", self._url, path, reason, wait)
            await asyncio.sleep(wait)
            wait = min(wait * 2, self._max_backoff_s)

    async def _once(self, method: str, path: str, body: dict[str, str] | None) -> tuple[int, dict[str, Any]]:
        if self._session is None:
            raise RuntimeError("use Registry as `async with Registry(url) as registry`")
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, self._url + path, data=data) as response:
            text = await response.text()
            try:
                answer = json.loads(text)
            except ValueError:
                answer = {"message": text[:200]}
            return response.status, answer if isinstance(answer, dict) else {"message": text[:200]}


def _said(status: int, answer: dict[str, Any]) -> str:
    return f"HTTP {status}, {answer.get('error_code', 'no code')}: {answer.get('message', 'no message')}"
