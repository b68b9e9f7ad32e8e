"""The plant of the overlay: pumps, signals and positions as context, and a rule for each signal. Enter: runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from streams import topology
from tests.evaluation.scenario import SECOND_US, Row

SITE: Final = "overlay"
LINE: Final = "rig"
PLANT: Final = f"overlay/{SITE}/{LINE}"
# The protocol of the set: limits are fitted on the first 400 rows of each run.
FITTED: Final = 400
# One width for all signals of all runs: so many standard deviations from the mean, for so long.
WIDTH: Final = 5.0
ON_DELAY_S, OFF_DELAY_S = 5.0, 30.0
UNITS: Final = {"Current": "A", "Pressure": "bar", "Temperature": "Cel", "Thermocouple": "Cel", "Voltage": "V"}


class Run(NamedTuple):
    """One run on one pump: sensors, times in the overlay (us), a row of values for each time."""

    number: int
    pump: str
    address: str
    sensors: tuple[str, ...]
    times: list[int]
    values: list[list[float]]

    @property
    def day(self) -> date:
        """Its day in the overlay."""
        return datetime.fromtimestamp(self.times[0] / SECOND_US, tz=UTC).date()

    def signal(self, sensor: str) -> str:
        """A run has signals of its own: the rig was set up anew for each."""
        return f"run-{self.number:02}/{sensor}"


def context(runs: Sequence[Run]) -> dict[str, list[Row]]:
    """Pumps, signals, and who answers. Production orders nobody told: that they are missing must be named."""
    place = {"site": SITE, "work_center": LINE}
    pumps = {run.pump: run.address for run in runs}
    assets = [
        {**place, "asset_id": pump, "work_unit": pump, "path": f"{PLANT}/{pump}", "name": pump, "owner": "maintenance"}
        | {"criticality": "medium", "interfaces": [address]}
        for pump, address in pumps.items()
    ]
    signals = [
        {**place, "signal_id": run.signal(name), "address": run.signal(name), "name": name, "work_unit": run.pump}
        | {"asset_id": run.pump, "source_id": f"edge-{run.pump}", "unit": UNITS.get(name, "1"), "period_ms": 1000}
        for run in runs
        for name in run.sensors
    ]
    position = {"position_id": "rig/shift-lead", "site": SITE, "paths": [PLANT]}
    return {topology.ASSET.name: assets, topology.SIGNAL.name: signals, topology.OPERATOR_POSITION.name: [position]}


def rules(runs: Sequence[Run]) -> dict[str, str]:
    """One rule per signal: outside the mean of its run's first rows by WIDTH standard deviations."""
    files = {}
    for run in runs:
        for at, sensor in enumerate(run.sensors):
            fitted = [row[at] for row in run.values[:FITTED]]
            mean = statistics.fmean(fitted)
            spread = max(statistics.pstdev(fitted), abs(mean) * 1e-6, 1e-9)
            rule_id = f"{sensor.lower().replace(' ', '-')}-unusual-{run.number:02}"
            files[f"{rule_id}.toml"] = RULE.format(
                id=rule_id, sensor=sensor, signal=run.signal(sensor), unit=UNITS.get(sensor, "1"), mean=mean,
                high=mean + WIDTH * spread, low=mean - WIDTH * spread, deadband=spread, on=ON_DELAY_S, off=OFF_DELAY_S,
                beyond=mean + 2 * WIDTH * spread,
            )  # fmt: skip
    return files


RULE: Final = """id = "{id}"
version = 1
status = "experimental"
title = "{sensor} unusual"
owner = "maintenance"
kind = "alarm"
type = "threshold"
priority = "high"
consequence = "The pump may be damaged."
response = "look at the pump and its valves"
false_positives = ["The set point was changed."]
[select]
role = "measurement"
unit = "{unit}"
signal_id = "{signal}"
[condition]
high = {high!r}
low = {low!r}
deadband = {deadband!r}
on_delay_s = {on}
off_delay_s = {off}
[fires]
readings = [{{ at = 0, value = {mean!r} }}, {{ at = 10, value = {beyond!r} }}, {{ at = 20, value = {beyond!r} }}]
expect = [{{ at = 15, state = "active" }}]
[quiet]
readings = [{{ at = 0, value = {mean!r} }}]
"""
