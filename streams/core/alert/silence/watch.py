"""What a rule on silence says. Enter: tables of a rule file. Leave: `Watch`, and the example's `Point`s.

Five types: a *missing* signal (its source goes on), a *frozen* one (sent, but it never moves), one of *bad quality*,
an edge node that is *offline* (nothing comes from it), a *segment* that is down (a zone's nodes fall silent together).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Final

from streams.core.alert.rule_table import TableReader

MISSING: Final = "missing"
FROZEN: Final = "frozen"
BAD_QUALITY: Final = "bad_quality"
SOURCE_OFFLINE: Final = "source_offline"
SEGMENT_DOWN: Final = "segment_down"
OF_SIGNALS: Final = (BAD_QUALITY, MISSING, FROZEN)
OF_NODES: Final = (SOURCE_OFFLINE, SEGMENT_DOWN)
SILENCE: Final = (*OF_SIGNALS, *OF_NODES)
# Columns of a node that a rule on nodes may select by.
NODE_GLOBS: Final = {SOURCE_OFFLINE: ("source_id", "work_center"), SEGMENT_DOWN: ("zone", "work_center")}
QUALITIES: Final = ("good", "uncertain", "bad")
DAY_S: Final = 86_400.0

_POINT: Final[dict[str, type[float | str]]] = {
    "at": float, "until": float, "every": float, "value": float, "signal": str, "source": str, "quality": str,
    "state": str,
}  # fmt: skip


@dataclass(frozen=True)
class Watch:
    """When silence counts; fields that a type does not have are 0 or empty.

    `after_s`: it must last for so long; `periods`: and for so many periods of the signal (the node's fastest).
    `resolution`: a value that stays within so much of the middle of a band, in its unit, does not move;
    `unless`: states of the machine in which it need not. `nodes`, `share`: so many nodes, and so large a share of those
    of the zone on the line, that fell silent within `within_s` of each other.
    """

    after_s: float = 0.0
    periods: float = 0.0
    resolution: float = 0.0
    unless: tuple[str, ...] = ()
    nodes: int = 0
    share: float = 0.0
    within_s: float = 0.0

    @property
    def fingerprint(self) -> str:
        """Text that differs where what is watched for differs."""
        return repr(astuple(self))


@dataclass(frozen=True)
class Point:
    """Readings of a rule's example: one at `at`, or one each `every` s up to `until`.

    Without `signal` of the signal that is watched, without `source` of the node "edge"; `state` is the machine's.
    """

    at: float
    until: float
    every: float
    signal: str
    source: str
    value: float
    quality: str
    state: str

    def times(self) -> list[float]:
        """Seconds at which there is a reading."""
        return [self.at + number * self.every for number in range(int((self.until - self.at) / self.every + 1e-9) + 1)]


def watch(table: TableReader, rule_type: str) -> Watch:
    """The condition of a rule on silence."""
    segment, frozen = rule_type == SEGMENT_DOWN, rule_type == FROZEN
    counted = rule_type in {MISSING, SOURCE_OFFLINE}
    found = Watch(
        after_s=0.0 if segment else table.number("after_s", None, low=1.0, high=DAY_S),
        periods=table.number("periods", None, low=2.0, high=1000.0) if counted else 0.0,
        resolution=table.number("resolution", 0.0, low=0.0) if frozen else 0.0,
        unless=table.texts("unless", required=False) if frozen else (),
        nodes=int(table.number("nodes", None, low=2, whole=True)) if segment else 0,
        share=table.number("share", 0.5, low=0.0, high=1.0) if segment else 0.0,
        within_s=table.number("within_s", None, low=1.0, high=3600.0) if segment else 0.0,
    )
    table.finish()
    return found


def points(table: TableReader) -> Iterator[Point]:
    """The readings of an example, in the order of the file."""
    for row in table.rows("readings", _POINT):
        at = float(row["at"])
        quality = row.get("quality", "good")
        if quality not in QUALITIES:
            table.fault("readings", f"names quality {quality!r}; write one of {', '.join(QUALITIES)}")
        every = float(row.get("every", 1.0))
        if every <= 0 or row.get("until", at) < at:
            table.fault("readings", "go nowhere: `every` must be above 0 and `until` not before `at`")
            continue
        yield Point(
            at, float(row.get("until", at)), every, row.get("signal", ""), row.get("source", ""),
            float(row.get("value", 1.0)), quality, row.get("state", ""),
        )  # fmt: skip
