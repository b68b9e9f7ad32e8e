"""`plantweave context load` against a real broker: all or none, what is refused, no clear names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from streams import topology
from tests.chaos.deployment import ROOT, Deployment
from tests.integration.harness import deploy, rows, run, until

pytestmark = pytest.mark.timeout(180)

ASSETS = "id,above,path\n{}\n"
ASSET_MAPPING = """kind = "asset"
[fields]
asset_id = { column = "id" }
parent_id = { column = "above" }
path = { column = "path" }
"""
ACCESS_MAPPING = """kind = "access"
[file]
format = "jsonl"
[fields]
access_id = { column = "id" }
event_time = { column = "at", format = "iso" }
kind = { value = "logon" }
user = { column = "who" }
"""


SIGNAL_MAPPING = """kind = "signal"
[fields]
signal_id = { column = "id" }
source_id = { value = "edge-1" }
address = { column = "id" }
work_center = { value = "line-1" }
enumeration = { column = "states", split = ";" }
window_lengths_s = { column = "windows", split = ";" }
"""


@pytest.fixture
def target(bootstrap: str, tmp_path: Path) -> Deployment:
    """Topics of its own, nothing running."""
    return deploy(bootstrap, tmp_path / "deployment", ())


def assets(folder: Path, lines: Iterable[str], name: str = "assets.csv") -> list[str]:
    """The arguments that load these assets."""
    (folder / "assets.toml").write_text(ASSET_MAPPING)
    (folder / name).write_text(ASSETS.format("\n".join(lines)))
    return ["context", "load", "asset", str(folder / name), "--mapping", str(folder / "assets.toml")]


def test_good_rows_are_loaded_and_the_others_told_with_what_to_do(target: Deployment, tmp_path: Path) -> None:
    """An orphan does not keep its neighbours out; exit code 3 and the report name it; a second file finds the first."""
    first = run(target, *assets(tmp_path, ["site,,s", "line,site,s/l", "lost,nowhere,s/x"]), "--json")
    assert (first.returncode, json.loads(first.stdout)["records"]) == (3, 2)
    assert [row["asset_id"] for row in rows(target, topology.ASSET)] == ["site", "line"]
    report = tmp_path / "refused.csv"
    second = run(target, *assets(tmp_path, ["unit,line,s/l/u", "bad,lost,s/y"]), "--report", str(report))
    assert "row 2, parent_id: 'bad -> lost' an asset above it is nowhere; load the asset above it too" in second.stdout
    assert json.loads(report.read_text()) == {
        "row": 2,
        "field": "parent_id",
        "value": "bad -> lost",
        "problem": "an asset above it is nowhere",
        "remedy": "load the asset above it too, or leave parent_id out",
    }
    assert [row["asset_id"] for row in rows(target, topology.ASSET)] == ["site", "line", "unit"]


def test_a_dry_run_and_a_wrong_mapping_send_nothing(target: Deployment, tmp_path: Path) -> None:
    """Both say what would be, or what is wrong."""
    words = assets(tmp_path, ["site,,s"])
    assert "1 records to load (dry run)" in run(target, *words, "--dry-run").stdout
    (tmp_path / "assets.toml").write_text(ASSET_MAPPING.replace('"above"', '"parent"'))
    wrong = run(target, *words)
    assert wrong.returncode == 2
    assert "column 'parent': the file has no such column" in wrong.stderr
    assert rows(target, topology.ASSET) == []


def test_a_topic_that_is_missing_is_told_and_not_made_by_the_broker(target: Deployment, tmp_path: Path) -> None:
    """The sentence says which command makes them."""
    told = run(target, *assets(tmp_path, ["site,,s"]), topic_prefix="absent.")
    assert told.returncode == 1
    assert "Create them with `plantweave topics create`" in told.stderr


def test_no_clear_name_reaches_the_topic(target: Deployment, tmp_path: Path) -> None:
    """Without a key persons are not loaded; with one the bytes on the topic hold the pseudonym only."""
    (tmp_path / "access.toml").write_text(ACCESS_MAPPING)
    lines = [json.dumps({"id": str(n), "at": "2026-01-02T03:04:05Z", "who": "Jane.Doe"}) for n in range(3)]
    (tmp_path / "access.jsonl").write_text("\n".join(lines))
    words = ["context", "load", "access", str(tmp_path / "access.jsonl"), "--mapping", str(tmp_path / "access.toml")]
    without = run(target, *words)
    assert (without.returncode, "`plantweave privacy key FILE`" in without.stderr) == (1, True)
    assert rows(target, topology.ACCESS) == []
    key = tmp_path / "key"
    assert run(target, "privacy", "key", str(key)).returncode == 0
    assert key.stat().st_mode & 0o077 == 0
    assert run(target, *words, pseudonym_key_file=key).returncode == 0
    values = [value for _, value, _ in target.read(topology.ACCESS.name) if value]
    assert len(values) == 3
    assert not any(b"jane" in value.lower() for value in values)
    assert len({row["user"] for row in rows(target, topology.ACCESS)}) == 1


def test_the_same_file_again_changes_nothing(target: Deployment, tmp_path: Path) -> None:
    """What is there already is not sent again; what a file tells anew is."""
    words = assets(tmp_path, ["site,,s", "line,site,s/l"])
    assert json.loads(run(target, *words, "--json").stdout)["records"] == 2
    again = json.loads(run(target, *words, "--json").stdout)
    assert (again["records"], again["unchanged"]) == (0, 2)
    assert len(rows(target, topology.ASSET)) == 2
    moved = json.loads(run(target, *assets(tmp_path, ["site,,s", "line,site,s/m"]), "--json").stdout)
    assert (moved["records"], moved["unchanged"]) == (1, 1)


def test_lists_and_maps_are_compared_with_what_is_there_too(target: Deployment, tmp_path: Path) -> None:
    """A signal with states and lengths of windows is unchanged as long as both are."""
    (tmp_path / "signals.toml").write_text(SIGNAL_MAPPING)
    words = [
        "context",
        "load",
        "signal",
        str(tmp_path / "s.csv"),
        "--mapping",
        str(tmp_path / "signals.toml"),
        "--json",
    ]
    counts = []
    for states in ("0=idle;1=runs", "0=idle;1=runs", "0=idle;1=stands"):
        (tmp_path / "s.csv").write_text(f"id,states,windows\na,{states},10;60\nb,,\n")
        told = json.loads(run(target, *words).stdout)
        counts.append((told["records"], told["unchanged"]))
    assert counts == [(2, 0), (0, 2), (1, 1)]


def test_a_load_that_is_killed_leaves_nothing_and_the_next_one_everything_once(
    target: Deployment, tmp_path: Path
) -> None:
    """One transaction: readers saw none of the records that were on the broker already when the loader died."""
    count = 100_000
    words = assets(tmp_path, (f"asset-{n},,s/{n}" for n in range(count)))
    reader = {"bootstrap.servers": target.bootstrap, "group.id": f"{target.prefix}r", "log_level": 0}
    watcher = Consumer({**reader, "isolation.level": "read_uncommitted"})
    place = TopicPartition(target.prefix + topology.ASSET.name, 0)

    def written() -> int:
        return int(watcher.get_watermark_offsets(place, timeout=10)[1])

    def led() -> bool:
        try:
            return written() == 0
        except KafkaException:  # a topic that is new has no leader yet
            return False

    until(led, "a leader of the topic")
    with subprocess.Popen([sys.executable, "-m", "streams", *words], env=target.env, cwd=ROOT) as loader:
        until(lambda: written() > 0, "some records on the broker")
        loader.kill()
    sent = written()
    assert 0 < sent < count
    committed = Consumer({**reader, "isolation.level": "read_committed"})
    committed.assign([TopicPartition(place.topic, place.partition, 0)])
    assert committed.poll(2) is None
    committed.close()
    done = run(target, *words, "--json")
    assert json.loads(done.stdout)["records"] == count
    assert written() > count + sent
    found = {value for _, value, _ in target.read(topology.ASSET.name)}
    assert len(found) == count
    watcher.close()


def test_the_newest_version_is_written_last_whatever_is_loaded_last(target: Deployment, tmp_path: Path) -> None:
    """Compaction keeps of each asset the last record, and that must not be one of its past."""
    versions = ASSET_MAPPING + 'valid_from = { column = "since", format = "iso" }\n'

    def load(*lines: str) -> int:
        words = assets(tmp_path, [])
        (tmp_path / "assets.toml").write_text(versions)
        (tmp_path / "assets.csv").write_text("\n".join(["id,above,path,since", *lines]))
        return int(json.loads(run(target, *words, "--json").stdout)["records"])

    def written() -> list[str]:
        return [row["path"] for row in rows(target, topology.ASSET)]

    assert load("a,,s/new,2026-03-01", "a,,s/old,2026-01-01") == 2
    assert written() == ["s/old", "s/new"]
    assert load("a,,s/former,2026-02-01") == 1
    assert written() == ["s/old", "s/new", "s/former", "s/new"]
    assert load("a,,s/newest,2026-04-01") == 1
    assert written()[4:] == ["s/newest"]


ORDER_MAPPING = """kind = "work_order"
[fields]
order_id = { column = "id" }
text = { column = "text", clear = true }
"""


def test_a_load_that_fails_ends_its_transaction(target: Deployment, tmp_path: Path) -> None:
    """A record that is too large for the broker behind thousands of others: what others write is seen at once."""
    (tmp_path / "orders.toml").write_text(ORDER_MAPPING)
    lines = [f"{n},text" for n in range(45_000)]
    (tmp_path / "orders.csv").write_text("\n".join(["id,text", *lines, f"big,{'x' * 1_040_000}"]))
    words = ["context", "load", "work_order", str(tmp_path / "orders.csv"), "--mapping", str(tmp_path / "orders.toml")]
    failed = run(target, *words)
    assert failed.returncode == 1
    assert "nothing was changed; shorten the texts of its rows" in failed.stderr
    name = target.prefix + topology.WORK_ORDER.name
    producer = Producer({"bootstrap.servers": target.bootstrap, "log_level": 0})
    producer.produce(name, b"of another system", b"key", partition=0)
    assert producer.flush(30) == 0
    reader = Consumer({"bootstrap.servers": target.bootstrap, "group.id": f"{target.prefix}r", "log_level": 0})
    reader.assign([TopicPartition(name, 0, 0)])
    seen = reader.poll(20)
    reader.close()
    assert seen is not None
    assert seen.value() == b"of another system"
