"""The embedded broker's jars: only what is pinned reaches the class path, and the network is needed once."""

import hashlib
from pathlib import Path

import pytest

from streams.kafka.embedded.jars import EmbeddedKafkaError, Jar, cache_folder, read_lock, resolve

CONTENT = {name: f"content of {name}".encode() for name in ("kafka", "scala")}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock file that pins two small jars."""
    file = tmp_path / "jars.lock"
    lines = [f"org.example:{name}:1.0 sha256:{hashlib.sha256(text).hexdigest()}" for name, text in CONTENT.items()]
    file.write_text("# two jars\n" + "\n".join(lines) + "\n")
    return file


class Repository:
    """Stands in for the network: gives `content`, counts what was asked for."""

    def __init__(self, content: dict[str, bytes]) -> None:
        self.content = content
        self.asked: list[str] = []

    def __call__(self, jar: Jar, staging: Path) -> Path:
        """Put the jar into the staging folder."""
        self.asked.append(jar.artifact)
        if jar.artifact not in self.content:
            raise ConnectionError("no route to host")
        path = staging / jar.filename
        path.write_bytes(self.content[jar.artifact])
        return path


def test_committed_lock_pins_every_jar() -> None:
    """The lock that is shipped pins the broker and its logging, each by a whole SHA-256, none twice."""
    jars = read_lock()
    assert {"kafka_2.13", "kafka-clients", "log4j-core", "scala-library"} <= {jar.artifact for jar in jars}
    assert all(len(jar.sha256) == 64 and int(jar.sha256, 16) for jar in jars)
    assert len({jar.filename for jar in jars}) == len(jars)


def test_fetched_once_then_offline(tmp_path: Path, lock: Path) -> None:
    """What the cache has is never asked for again: the second start needs no network."""
    repository = Repository(CONTENT)
    told: list[str] = []
    first = resolve(tmp_path, told.append, lock, repository)
    assert [path.read_bytes() for path in first] == list(CONTENT.values())
    assert "Fetching 2 jars" in told[0]
    told.clear()
    assert resolve(tmp_path, told.append, lock, Repository({})) == first
    assert sorted(repository.asked) == sorted(CONTENT)
    assert told == []


def test_damaged_jar_is_fetched_anew(tmp_path: Path, lock: Path) -> None:
    """A cached jar that differs from its pin (a bad disk, a hand) is replaced, and only that one."""
    paths = resolve(tmp_path, print, lock, Repository(CONTENT))
    paths[1].write_bytes(b"damaged")
    repository = Repository(CONTENT)
    assert resolve(tmp_path, print, lock, repository)[1].read_bytes() == CONTENT["scala"]
    assert repository.asked == ["scala"]


def test_altered_download_is_refused(tmp_path: Path, lock: Path) -> None:
    """A download that differs from its pin is an error that says what to do, and leaves nothing in the cache."""
    with pytest.raises(EmbeddedKafkaError, match=r"pins(.|\n)*proxy or mirror(.|\n)*Change the pin only"):
        resolve(tmp_path, print, lock, Repository(CONTENT | {"scala": b"altered"}))
    assert not list((tmp_path / "jars").rglob("scala*"))


def test_no_network_tells_what_to_do(tmp_path: Path, lock: Path) -> None:
    """Without network and cache the error names the jar, the cause and both ways out."""
    with pytest.raises(EmbeddedKafkaError, match=r"kafka-1\.0\.jar(.|\n)*no route to host(.|\n)*or copy the"):
        resolve(tmp_path, print, lock, Repository({}))


def test_line_that_is_no_pin(tmp_path: Path) -> None:
    """A lock line without a hash is an error with its number, never an unpinned jar."""
    file = tmp_path / "jars.lock"
    file.write_text("# a comment\norg.example:kafka:1.0\n")
    with pytest.raises(EmbeddedKafkaError, match="line 2"):
        read_lock(file)


def test_cache_folder_can_be_chosen(tmp_path: Path) -> None:
    """PLANTWEAVE_CACHE wins over the platform's cache folder."""
    assert cache_folder({"PLANTWEAVE_CACHE": str(tmp_path), "XDG_CACHE_HOME": "/var/cache"}) == tmp_path
    assert cache_folder({}).name == "plantweave"
