"""A bottling line for the tests of the bundled rules: its context, its rules, and a recording of it in good health."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

import streams
from streams.core.alert.rule import Rule, load
from tests.core.alert_scene import R, Task, context, signal

FOLDER: Final = Path(streams.__file__).parent / "rules"
# Signal: work unit, role, unit.
SIGNALS: Final = {
    "bearing-temperature": ("filler", "measurement", "Cel"),
    "bowl-pressure": ("filler", "measurement", "kPa"),
    "motor-current": ("filler", "measurement", "A"),
    "state": ("filler", "state", None),
    "fill-level": ("filler", "measurement", "mL"),
    "fill-setpoint": ("filler", "setpoint", "mL"),
    "torque": ("capper", "measurement", "N.m"),
    "reject-count": ("capper", "reject_counter", "{item}"),
    "glue-temperature": ("packer", "measurement", "Cel"),
}
OWNERS: Final = {"filler": "maintenance-mechanical", "capper": "maintenance-mechanical", "packer": "packaging-team"}


def signal_id(name: str) -> str:
    """Identity of a signal of the line."""
    return f"line-1-{SIGNALS[name][0]}-{name}"


def rules() -> list[Rule]:
    """All bundled rules."""
    return load({path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.toml")})


def line(*rule_ids: str) -> Task:
    """The alert stage on the line with these bundled rules, or with all."""
    chosen = [rule for rule in rules() if not rule_ids or rule.id in rule_ids]
    assert len(chosen) >= max(len(rule_ids), 1)
    signals = []
    for name, (unit, role, ucum) in SIGNALS.items():
        address = f"Line1.{unit.title()}.{name.title().replace('-', '')}"
        described = {"role": role, "unit": ucum, "name": f"{unit} {name.replace('-', ' ')}"}
        place = {"work_unit": f"line-1-{unit}", "asset_id": f"line-1-{unit}"}
        signals.append(signal(signal_id(name), address=address, **described, **place))
    assets: list[dict[str, Any]] = [
        {"asset_id": f"line-1-{unit}", "valid_from": 0, "path": f"plantweave/bottling/hall/line-1/{unit}",
         "name": unit, "work_center": "line-1", "work_unit": f"line-1-{unit}", "owner": owner, "criticality": "high"}
        for unit, owner in OWNERS.items()
    ]  # fmt: skip
    order = {"order_id": "PO-1007", "valid_from": 0, "work_center": "line-1", "product": "Cola 0.5 l",
             "actual_start": 0, "status": "running"}  # fmt: skip
    return Task(chosen, context(signals, assets, [order]))


def series(name: str, *points: tuple[float, float | str]) -> list[R]:
    """Readings (seconds, value) of one signal of the line."""
    return [R(at, signal_id(name), value) for at, value in points]


def healthy(minutes: int = 10, setpoint: float = 500.0) -> list[R]:
    """Minutes of a line in good health, in order of time: it runs, with two stops of 8 s as every line has them.

    `setpoint` is what the filler is set to from the eighth minute on; before that it is 500.
    """
    chance = np.random.default_rng(22400)
    readings: list[R] = []

    def sampled(name: str, period_s: float, running: float, standing: float, spread: float) -> None:
        for at in np.arange(0.0, minutes * 60.0, period_s):
            level = standing if stopped(float(at)) else running
            readings.append(R(float(at), signal_id(name), level + spread * float(chance.standard_normal())))

    def stopped(at: float) -> bool:
        return 120.0 <= at < 128.0 or 400.0 <= at < 408.0

    sampled("bearing-temperature", 0.5, 62.0, 62.0, 0.2)
    sampled("bowl-pressure", 2.0, 250.0, 190.0, 4.0)
    sampled("motor-current", 0.5, 14.0, 0.8, 0.3)
    sampled("fill-level", 0.5, 500.0, 0.0, 1.2)
    sampled("torque", 0.5, 1.85, 0.0, 0.05)
    sampled("glue-temperature", 1.0, 168.0, 168.0, 2.0)
    readings += series("reject-count", *((at, float(120 + at // 16)) for at in range(0, minutes * 60, 2)))
    readings += series("fill-setpoint", *((at, 500.0 if at < 480 else setpoint) for at in range(0, minutes * 60, 60)))
    readings += series("state", (0, "running"), (120, "fault"), (124, "stopped"), (128, "running"), (400, "starved"),
                       (408, "running"))  # fmt: skip
    return sorted(readings, key=lambda reading: reading.at)
