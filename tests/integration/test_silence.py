"""Silence told apart on a real broker: one plant, six ways of not hearing of it, each an alert of its own kind."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from confluent_kafka import Producer

from streams import topology
from tests.chaos.deployment import ROOT, Deployment
from tests.chaos.services import Encoder
from tests.integration import harness

pytestmark = pytest.mark.timeout(240)

PERIOD_S: Final = 0.25
EDGES: Final = ("edge-1", "edge-2", "edge-3", "edge-4")
ZONES: Final = {"edge-1": "cell-a", "edge-2": "cell-a", "edge-3": "cell-b", "edge-4": "cell-c"}
TAGS: Final = ("temperature", "pressure", "speed", "flow")
BAD: Final = 0x80000000  # OPC UA status code Bad
# Seconds in place of the bundled rules' minutes; two nodes of a zone make a segment.
LIMITS: Final = {
    "edge-node-offline": {"after_s": "2.0"},
    "network-segment-down": {"within_s": "1.5"},
    "sensor-bad": {"after_s": "2.0"},
    "signal-frozen": {"after_s": "3.0"},
    "signal-missing": {"after_s": "2.0", "periods": "4"},
}
Rows = list[dict[str, Any]]


def rules(folder: Path) -> Path:
    """The bundled rules on silence with small limits."""
    folder.mkdir()
    for name, limits in LIMITS.items():
        text = (ROOT / "streams" / "rules" / f"{name}.toml").read_text("utf-8")
        for field_, value in limits.items():
            text, count = re.subn(rf"(?m)^{field_} = \S+$", f"{field_} = {value}", text)
            assert count == 1
        (folder / f"{name}.toml").write_text(text, "utf-8")
    return folder


@dataclass
class Plant:
    """Sends every PERIOD_S what all edge nodes read, but for what a test takes away."""

    target: Deployment
    offline: set[str] = field(default_factory=set)
    absent: set[tuple[str, str]] = field(default_factory=set)
    frozen: set[tuple[str, str]] = field(default_factory=set)
    bad: set[tuple[str, str]] = field(default_factory=set)
    step: int = 0

    def __post_init__(self) -> None:
        self._encoder = Encoder(topology.RAW_READING)
        self._producer = Producer({"bootstrap.servers": self.target.bootstrap, "log_level": 0})
        self._next = time.monotonic()

    def dictionary(self) -> None:
        """Signals, and an asset per edge node that says which zone it is in."""
        common = {"unit": "Cel", "period_ms": int(PERIOD_S * 1000)}
        signals = [
            {**common, "signal_id": f"{edge}/{tag}", "source_id": edge, "address": tag, "asset_id": edge}
            | {"name": f"{tag} {edge[-1]}"}
            for edge in EDGES
            for tag in TAGS
        ]
        harness.write_dictionary(self.target, signals)
        encoder = Encoder(topology.ASSET)
        for edge, zone in ZONES.items():
            row = {"asset_id": edge, "site": "site-1", "path": f"plant/{edge}", "zone": zone, "work_center": "line-1"}
            self._producer.produce(self.target.prefix + topology.ASSET.name, encoder.value(row), edge.encode())
        assert self._producer.flush(30) == 0

    def tick(self) -> None:
        """Send what is due."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PERIOD_S
        self.step += 1
        for edge in EDGES:
            for tag in TAGS:
                place = (edge, tag)
                if edge in self.offline or place in self.absent:
                    continue
                row: dict[str, Any] = {"source_id": edge, "address": tag, "source_time": time.time_ns() // 1000}
                row |= {"value_double": 62.0 if place in self.frozen else 50.0 + self.step % 40}
                row |= {"quality_raw": BAD, "quality_scheme": "opcua"} if place in self.bad else {}
                self._producer.produce(
                    self.target.prefix + topology.RAW_READING.name, self._encoder.value(row), edge.encode(), partition=0
                )
        self._producer.flush(10)

    def until(self, condition: Callable[[Rows], object], what: str) -> Rows:
        """Go on sending until the alerts are so; all of them."""
        alerts: list[Rows] = [[]]
        asked = [0.0]

        def so() -> object:
            self.tick()
            if time.monotonic() < asked[0]:
                return False
            alerts.append(harness.rows(self.target, topology.ALERT))
            asked[0] = time.monotonic() + 0.5
            return condition(alerts[-1])

        harness.until(so, what, 40)
        return alerts[-1]


@pytest.fixture(scope="module")
def plant(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """All nodes and signals alive, watched with small limits."""
    folder = tmp_path_factory.mktemp("silence")
    target = harness.deploy(
        bootstrap, folder, ("validate", "alert"), rules_dir=rules(folder / "rules"), allowed_disorder_ms=300
    )
    made = Plant(target)
    made.dictionary()
    try:
        harness.start(target, "validate", "alert")
        yield made
    finally:
        target.stop()


def standing(alerts: Rows) -> dict[tuple[str, str], dict[str, Any]]:
    """The last record of each alert that is not cleared, by rule and what it is about."""
    last = {row["alert_id"]: row for row in sorted(alerts, key=lambda row: int(row["revision"]))}
    open_ = [row for row in last.values() if row["state"] == "active"]
    return {(row["rule_id"], row["alert_id"].split("|")[1]): row for row in open_}


def stand(alerts: Rows, *wanted: tuple[str, str]) -> bool:
    """Whether exactly these alerts stand."""
    return set(standing(alerts)) == set(wanted)


def new(alerts: Rows, before: Rows) -> Rows:
    """Records written since, in order."""
    return alerts[len(before) :]


def check_cleared(rows: Sequence[dict[str, Any]], words: str) -> None:
    """One clearing record, with these words, that was called as often as its alert was."""
    (row,) = [row for row in rows if row["state"] == "cleared"]
    assert words in row["message"]
    assert row["end_time"] > row["begin_time"]


@pytest.mark.parametrize(
    ("kind", "rule", "words", "over"),
    [
        ("frozen", "signal-frozen", r"Temperature 3 stands at 62 °C since .* while edge-3 goes on sending it",
         "Temperature 3 moves again"),
        ("absent", "signal-missing", r"Nothing of temperature 3 since .* while edge-3 goes on sending",
         "Temperature 3 is sent again"),
        ("bad", "sensor-bad", r"Temperature 3 has no good value since .* as edge-3 says itself",
         "Temperature 3 has usable values again"),
    ],
)  # fmt: skip
def test_a_signal_that_is_silent_is_told_by_its_own_kind(
    plant: Plant, kind: str, rule: str, words: str, over: str
) -> None:
    """Frozen, missing and bad are three alerts; the node and the other signals are accused of nothing."""
    before = plant.until(stand, "nothing to stand")
    place, about = ("edge-3", "temperature"), (rule, "edge-3/temperature")
    getattr(plant, kind).add(place)
    alerts = plant.until(lambda rows: stand(rows, about), f"{rule} to stand, alone")
    getattr(plant, kind).remove(place)
    (told,) = new(alerts, before)
    assert re.search(words, told["message"])
    assert told["annunciated"]
    after = plant.until(stand, f"{rule} to be cleared")
    check_cleared(new(after, alerts), over)
    assert len(new(after, before)) == 2


def test_a_node_that_is_offline_is_one_alert(plant: Plant) -> None:
    """Its signals are neither missing nor frozen: nothing can be said of them."""
    before = plant.until(stand, "nothing to stand")
    plant.offline = {"edge-4"}
    alerts = plant.until(lambda rows: stand(rows, ("edge-node-offline", "edge-4@line-1")), "edge-4 to be missed")
    (told,) = new(alerts, before)
    assert re.search(r"Nothing from edge node edge-4 since .*", told["message"])
    assert (told["source_id"], told["signal_id"], told["annunciated"]) == ("edge-4", None, True)
    plant.offline = set()
    after = plant.until(stand, "edge-4 to be heard")
    check_cleared(new(after, alerts), "Edge node edge-4 sends again")
    assert len(new(after, before)) == 2


def test_a_segment_that_is_cut_off_calls_once(plant: Plant) -> None:
    """Two nodes of one zone fall silent together: the zone's alert rings, those of the nodes name it as their cause."""
    before = plant.until(stand, "nothing to stand")
    plant.offline = {"edge-1", "edge-2"}
    segment = ("network-segment-down", "cell-a@line-1")
    nodes = [("edge-node-offline", f"{edge}@line-1") for edge in ("edge-1", "edge-2")]
    alerts = plant.until(lambda rows: stand(rows, segment, *nodes), "the segment and its nodes to be missed")
    told = standing(alerts)
    assert re.search(
        r"Network segment cell-a cut off since .*: nothing from edge-1 and edge-2", told[segment]["message"]
    )
    assert sorted(told[segment]["members"]) == ["edge-1", "edge-2"]
    assert {told[node]["cause_alert_id"] for node in nodes} == {told[segment]["alert_id"]}
    rung = [row["rule_id"] for row in new(alerts, before) if row["annunciated"]]
    assert rung == ["network-segment-down"]
    plant.offline = set()
    after = plant.until(stand, "all to be heard")
    cleared = [row for row in new(after, alerts) if row["state"] == "cleared"]
    assert sorted(row["rule_id"] for row in cleared) == ["edge-node-offline", "edge-node-offline", segment[0]]
    assert any("Network segment cell-a is connected again" in row["message"] for row in cleared)
