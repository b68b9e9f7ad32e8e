"""What only the tests need of Maven Central. Enters: the name of an artifact. Leaves: its path in the cache, verified.

`artifacts.lock` beside this module pins each by SHA-256; jgo fetches what the cache (the embedded broker's) lacks.
"""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
from pathlib import Path
from typing import Final

from jgo.maven import MavenContext

from streams.kafka.embedded.jars import cache_folder

LOCK_FILE: Final = Path(__file__).with_name("artifacts.lock")


def fetch(artifact: str) -> Path:
    """The file of `artifact`, fetched at its first use; RuntimeError where it is not the pinned one."""
    group, version, classifier, packaging, digest = _pin(artifact)
    folder = cache_folder() / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{artifact}-{version}.{packaging}"
    with (folder / ".lock").open("w") as lock:
        # One process at a time, since runs side by side share the cache.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or _sha256(path) != digest:
            with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as staging:
                maven = MavenContext(repo_cache=Path(staging), local_repos=[], timeout=60)
                component = maven.project(group, artifact).at_version(version)
                fetched = component.artifact(classifier, packaging).resolve()
                if _sha256(fetched) != digest:
                    raise RuntimeError(
                        f"{fetched.name} as downloaded has SHA-256 {_sha256(fetched)}, {LOCK_FILE.name} pins {digest}: "
                        "something on the way alters downloads; fetch it from another network."
                    )
                fetched.replace(path)
    return path


def _pin(artifact: str) -> tuple[str, str, str, str, str]:
    """Group, version, classifier, packaging and SHA-256."""
    for line in LOCK_FILE.read_text("utf-8").splitlines():
        coordinates, _, digest = line.partition(" sha256:")
        group, name, *rest = f"{coordinates}::".split(":")[:5]
        if name == artifact:
            version, classifier, packaging = rest
            return group, version, classifier, packaging, digest
    raise KeyError(f"{artifact} is not in {LOCK_FILE.name}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
