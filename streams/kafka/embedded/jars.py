"""The jars of the embedded broker.

In: `kafka-jars.lock` beside this module (one `group:artifact:version sha256:<hex>` per line) and a cache folder.
Out: the paths of jars whose SHA-256 is the pinned one, fetched through jgo where the cache does not have them.
`python -m streams.kafka.embedded.jars VERSION` resolves that Apache Kafka release anew and prints the lock for it.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOCK_FILE: Final = Path(__file__).with_name("kafka-jars.lock")

# What a single broker never loads: the tools' CSV output, log4j's YAML configuration, OAuth and annotations. Each was
# left out only after a broker without it had passed the integration tests. argparse4j formats the data folder.
NOT_NEEDED: Final = frozenset(
    {
        "commons-beanutils",
        "commons-collections",
        "commons-digester",
        "commons-logging",
        "jackson-dataformat-csv",
        "jackson-dataformat-yaml",
        "jspecify",
        "scala-reflect",
        "snakeyaml",
    }
)

Progress = Callable[[str], None]


class EmbeddedKafkaError(RuntimeError):
    """The embedded broker cannot be had or started; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned Maven artifact: its coordinates and the SHA-256 (hexadecimal) of the jar."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """Name of the jar in Maven's repository layout and in the cache folder."""
        return f"{self.artifact}-{self.version}.jar"


def cache_folder(env: os._Environ[str] | dict[str, str] = os.environ) -> Path:
    """Where downloads are kept: PLANTWEAVE_CACHE, or `plantweave` in the platform's cache folder of the user."""
    if chosen := env.get("PLANTWEAVE_CACHE"):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "plantweave"
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plantweave"


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """The pinned jars in class path order. Raises EmbeddedKafkaError for a line that is no pin."""
    jars = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            coordinates, digest = line.split(" sha256:")
            group, artifact, version = coordinates.split(":")
        except ValueError:
            message = f"{path.name}, line {number}: expected 'group:artifact:version sha256:<hex>', got {line!r}."
            raise EmbeddedKafkaError(message) from None
        jars.append(Jar(group, artifact, version, digest))
    return jars


def resolve(
    cache: Path, progress: Progress, lock: Path = LOCK_FILE, download: Callable[[Jar, Path], Path] | None = None
) -> list[Path]:
    """Paths of all pinned jars in `cache`, each verified against its SHA-256 now; missing ones are fetched.

    Needs the network only for what is missing; `download` puts one jar below a staging folder (default: jgo, from
    Maven Central). Safe to call from several processes at once. Raises EmbeddedKafkaError when a jar cannot be fetched,
    or differs from its pin after a fresh download.
    """
    jars = read_lock(lock)
    folder = cache / "jars"
    folder.mkdir(parents=True, exist_ok=True)
    with _exclusive(folder / ".lock"):
        # A file that differs is what an interrupted copy or a bad disk left behind: it is fetched anew.
        missing = [jar for jar in jars if not _is_pinned(folder / jar.filename, jar)]
        if missing:
            _fetch_all(missing, folder, progress, download or _download)
    return [folder / jar.filename for jar in jars]


def _fetch_all(jars: Sequence[Jar], folder: Path, progress: Progress, download: Callable[[Jar, Path], Path]) -> None:
    progress(f"Fetching {len(jars)} jars of Apache Kafka from Maven Central (once, about 45 MB in all) ...")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as staging, ThreadPoolExecutor(6) as pool:
        fetched = pool.map(lambda jar: _fetch(jar, folder, download, Path(staging)), jars)
        for done, jar in enumerate(fetched, 1):
            if done % 10 == 0 or done == len(jars):
                progress(f"  {done} of {len(jars)} jars ({jar.filename})")


def _fetch(jar: Jar, folder: Path, download: Callable[[Jar, Path], Path], staging: Path) -> Jar:
    try:
        path = download(jar, staging)
    except (OSError, RuntimeError) as error:
        message = (
            f"Cannot fetch {jar.filename} of the embedded Kafka broker: {error}\n"
            "Connect this machine to the network once (HTTPS_PROXY and REQUESTS_CA_BUNDLE are honoured), or copy the\n"
            f"folder {folder} from a machine that has it; after that no network is needed."
        )
        raise EmbeddedKafkaError(message) from error
    if not _is_pinned(path, jar):
        message = (
            f"{jar.filename} as downloaded has SHA-256 {_sha256(path)}, but {LOCK_FILE.name} pins {jar.sha256}.\n"
            "It was not kept and nothing was started. A proxy or mirror on the way alters downloads: fetch from\n"
            f"another network, or copy {folder} from a machine that has it. Change the pin only if you know why."
        )
        raise EmbeddedKafkaError(message)
    # Moved only when proven, and in one step: the cache never shows a half-written or a foreign jar.
    path.replace(folder / jar.filename)
    return jar


def _download(jar: Jar, staging: Path) -> Path:
    from jgo.maven import MavenContext

    # requests' errors are OSErrors, jgo's own are RuntimeErrors.
    maven = MavenContext(repo_cache=staging, local_repos=[], timeout=60)
    return maven.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()


def _is_pinned(path: Path, jar: Jar) -> bool:
    return path.is_file() and _sha256(path) == jar.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """One process at a time: two demos or test workers that start on an empty cache share one download."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_lock(version: str) -> str:
    """The text of a new lock file: what jgo resolves over the network for that Kafka release, without NOT_NEEDED."""
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    staging = Path(tempfile.mkdtemp(prefix="plantweave-lock-"))
    try:
        maven = MavenContext(repo_cache=staging, local_repos=[], timeout=60)
        wanted = Coordinate(groupId="org.apache.kafka", artifactId="kafka_2.13", version=version, scope="compile")
        inputs, transitive = maven.resolver.resolve([maven.create_dependency(wanted)])
        found = {(d.groupId, d.artifactId, d.version) for d in [*inputs, *transitive]}
        # Kafka logs through slf4j 1.7 and leaves the choice of a backend to its distribution, which takes log4j2.
        log4j = next(v for _, artifact, v in found if artifact == "log4j-core")
        found.add(("org.apache.logging.log4j", "log4j-slf4j-impl", log4j))
        lines = [
            f"# Apache Kafka {version}; written by `python -m streams.kafka.embedded.jars {version}`: do not edit."
        ]
        for group, artifact, release in sorted(jar for jar in found if jar[1] not in NOT_NEEDED):
            path = maven.project(group, artifact).at_version(release).artifact().resolve()
            lines.append(f"{group}:{artifact}:{release} sha256:{_sha256(path)}")
    finally:
        shutil.rmtree(staging)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Print the lock file of the embedded broker for a Kafka release.")
    parser.add_argument("version", help="Apache Kafka release, for example 4.3.1")
    sys.stdout.write(write_lock(parser.parse_args().version))
