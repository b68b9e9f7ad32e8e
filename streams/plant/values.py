"""What the signals of a line are worth. In: a line, a signal, sample numbers and times. Out: values in published units.

`SAMPLED` has the signals that are read at times of their own, `ON_CHANGE` those that an event changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from streams.plant.model import (
    BEARING_COOLING_S,
    BEARING_NORMAL_CELSIUS,
    BEARING_RISE_CELSIUS_PER_S,
    BLOCKED,
    COUNTER_START,
    FAULT,
    HOUR_US,
    RUNNING,
    SECOND_US,
    SETUP,
    STARVED,
    STATES,
    Signal,
)
from streams.plant.noise import Floats, Integers

if TYPE_CHECKING:
    from streams.plant.line import Line
    from streams.plant.script import Order

# What a motor draws, in A, in each state.
_CURRENT: Final = {RUNNING: 14.0, STARVED: 5.0, BLOCKED: 5.0, SETUP: 3.0, FAULT: 0.8}
# A guard is opened so long after a stop, and closed so long before the restart.
_GUARD_US: Final = 2 * SECOND_US
_BAD: Final = 2


@dataclass(frozen=True)
class Events:
    """Values, numbers or texts, that hold from their times on; times rise strictly, the first is the plant's start."""

    time_us: Integers
    value: Floats | npt.NDArray[np.str_]


def state_at(line: Line, unit: int, time_us: Integers) -> Integers:
    """State of a machine (its place in the line) at each of these times, as an index of `STATES`."""
    segments = line.segments[unit]
    return segments.state[segments.at(time_us)]


def _running(line: Line, signal: Signal, time_us: Integers) -> npt.NDArray[np.bool_]:
    return np.asarray(state_at(line, signal.unit, time_us) == RUNNING)


def _count(kind: str) -> Callable[[Line, Signal, Integers, Integers], Floats]:
    def count(line: Line, signal: Signal, _number: Integers, time_us: Integers) -> Floats:
        made = line.segments[signal.unit].count_made(time_us)
        rejected = line.segments[signal.unit].count_rejected(made)
        items = {"total": made, "good": made - rejected, "reject": rejected}[kind] + COUNTER_START[kind]
        return np.asarray(items % ((signal.rollover or 0) + 1), dtype=np.float64)

    return count


def _motor_current(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    level = np.ones(len(STATES))
    level[list(_CURRENT)] = list(_CURRENT.values())
    drawn = level[state_at(line, signal.unit, time_us)]
    return np.asarray(drawn * (1.0 + 0.02 * line.noise(signal, number)))


def _bearing_temperature(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    heat = np.zeros(len(time_us))
    # After ten time constants the warmth of a failure is below a thousandth of a kelvin.
    cold = int(10 * BEARING_COOLING_S * SECOND_US)
    low, high = (int(time_us.min()) - cold, int(time_us.max())) if len(time_us) else (0, 0)
    for episode in line.episodes:
        if episode.kind == "bearing" and episode.begin_us >= low and episode.onset_us <= high:
            warming = np.clip(time_us - episode.onset_us, 0, episode.begin_us - episode.onset_us) / SECOND_US
            cooling = np.maximum(time_us - episode.begin_us, 0) / SECOND_US
            heat += BEARING_RISE_CELSIUS_PER_S * warming * np.exp(-cooling / BEARING_COOLING_S)
    return np.asarray(BEARING_NORMAL_CELSIUS + heat + 0.15 * line.noise(signal, number))


def _bowl_pressure(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    return np.asarray(np.where(_running(line, signal, time_us), 250.0, 190.0) + 4.0 * line.noise(signal, number))


def _fill_level(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    target = _fill_setpoint(line, signal)
    volume = np.asarray(target.value, dtype=np.float64)[np.searchsorted(target.time_us, time_us, side="right") - 1]
    filled = volume + 1.2 * line.noise(signal, number)
    return np.asarray(np.where(_running(line, signal, time_us), filled, 0.0))


def _torque(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    loose = np.zeros(len(time_us), dtype=np.bool_)
    for episode in line.episodes:
        if episode.kind == "scrap":
            loose |= (time_us >= episode.begin_us) & (time_us < episode.end_us)
    closing = np.where(loose, 1.3, 1.85) + 0.05 * line.noise(signal, number)
    sound = _running(line, signal, time_us) & (line.quality(signal, time_us) != _BAD)
    return np.asarray(np.where(sound, closing, 0.0))


def _web_tension(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    return np.asarray(np.where(_running(line, signal, time_us), 32.0 + 1.5 * line.noise(signal, number), 4.0))


def _glue_temperature(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    # The heater switches every 40 s.
    swing = 2.0 * np.sin((time_us - line.start_us) / (40.0 * SECOND_US) * 2.0 * np.pi)
    return np.asarray(168.0 + swing + 0.3 * line.noise(signal, number))


def _vibration(line: Line, signal: Signal, number: Integers, time_us: Integers) -> Floats:
    return np.asarray(np.where(_running(line, signal, time_us), 2.4, 0.1) * (1.0 + 0.1 * line.noise(signal, number)))


def _state(line: Line, signal: Signal) -> Events:
    segments = line.segments[signal.unit]
    changed = np.concatenate([[True], segments.state[1:] != segments.state[:-1]])
    return Events(segments.begin_us[changed], segments.state[changed].astype(np.float64))


def _setpoint(value: Callable[[Order], float]) -> Callable[[Line, Signal], Events]:
    def setpoint(line: Line, _signal: Signal) -> Events:
        # Set at the end of the changeover, before the machine runs again.
        times = [line.start_us, *(episode.end_us for episode in line.episodes if episode.kind == "changeover")]
        values = [value(order) for order in line.orders[: len(times)]]
        return Events(np.array(times, dtype=np.int64), np.array(values, dtype=np.float64))

    return setpoint


_fill_setpoint: Final = _setpoint(lambda order: order.product.fill_ml)
_speed_setpoint: Final = _setpoint(lambda order: round(order.product.speed_per_s * HOUR_US / SECOND_US))


def _order(line: Line, _signal: Signal) -> Events:
    started = [(order.begin_us, order.order_id) for order in line.orders if order.begin_us is not None]
    times, values = zip(*started, strict=True)
    return Events(np.array(times, dtype=np.int64), np.array(values))


def _guard_open(line: Line, signal: Signal) -> Events:
    times, values = [line.start_us], [0.0]
    for episode in line.episodes:
        if episode.kind == "bearing" and episode.unit == signal.unit:
            times += [episode.begin_us + _GUARD_US, episode.end_us - _GUARD_US]
            values += [1.0, 0.0]
    return Events(np.array(times, dtype=np.int64), np.array(values))


SAMPLED: Final[dict[str, Callable[[Line, Signal, Integers, Integers], Floats]]] = {
    "count_total": _count("total"),
    "count_good": _count("good"),
    "count_reject": _count("reject"),
    "motor_current": _motor_current,
    "bearing_temperature": _bearing_temperature,
    "bowl_pressure": _bowl_pressure,
    "fill_level": _fill_level,
    "torque": _torque,
    "web_tension": _web_tension,
    "glue_temperature": _glue_temperature,
    "vibration": _vibration,
}
ON_CHANGE: Final[dict[str, Callable[[Line, Signal], Events]]] = {
    "state": _state,
    "fill_setpoint": _fill_setpoint,
    "speed_setpoint": _speed_setpoint,
    "order": _order,
    "guard_open": _guard_open,
}
