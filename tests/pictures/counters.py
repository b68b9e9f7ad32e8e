"""A counter that restarts and one that rolls over, a state over a gap, a change of unit inside a window."""

from __future__ import annotations

from streams import topology
from tests.pictures.chain import MINUTE, SECOND, Chain, Row
from tests.pictures.drawing import SMALL, Picture, Scale
from tests.pictures.plant import LINE, STATE, TEMPERATURE, TEN, dictionary

HALF = {"window_lengths_s": [30]}
BOTTLES = {
    **LINE,
    **HALF,
    "signal_id": "bottles",
    "source_id": "edge-1",
    "address": "filler/bottles",
    "role": "good_counter",
    "rollover": 999,
    "period_ms": 5000,
}
CHANGE = TEN + 100 * SECOND
CELSIUS = {**TEMPERATURE, **HALF, "period_ms": 5000}
FAHRENHEIT = {**CELSIUS, "unit": "[degF]", "valid_from": CHANGE}
FILLER = {**STATE, **HALF, "source_id": "edge-2"}
BEAT = {**CELSIUS, "signal_id": "room", "source_id": "edge-2", "address": "room"}
LAST, GAP = 195, (70, 125)


def count(second: int) -> int:
    """What the counter shows: it restarts after 45 s, and passes 999 later."""
    return 100 + second * 4 if second < 50 else (3 + (second - 50) * 16) % 1000


def run() -> Chain:
    """Three minutes, a reading every five seconds; edge-2 is silent for almost a minute."""
    chain = Chain(dictionary(BOTTLES, CELSIUS, FAHRENHEIT, FILLER, BEAT), ("window",))
    for second in range(0, LAST, 5):
        measured = TEN + second * SECOND
        taken = measured + SECOND // 2
        chain.send(taken, address=BOTTLES["address"], source_time=measured, value_long=count(second))
        value = 70.0 if measured < CHANGE else 158.0
        chain.send(taken, address=CELSIUS["address"], source_time=measured, value_double=value)
        if not GAP[0] < second < GAP[1]:
            chain.send(taken, source_id="edge-2", address="room", source_time=measured, value_double=20.0)
    for second, label in ((0, "running"), (GAP[1], "fault")):
        said = {"source_time": TEN + second * SECOND, "value_string": label}
        chain.send(TEN + second * SECOND + SECOND // 2, source_id="edge-2", address=FILLER["address"], **said)
    chain.run(TEN, TEN + LAST * SECOND)
    return chain


def _told(row: Row, first: Row) -> list[str]:
    """What a window says about a counter, a state, a temperature; of a state also what it said at `first`."""
    if row["role"] == "good_counter":
        return [f"increment {row['increment']:g}", f"resets {row['resets']}", f"rollovers {row['rollovers']}"]
    if row["role"] == "state":
        times = zip(row["states"], row["state_durations_s"], strict=True)
        told = [f"{label} {seconds:g} s" for label, seconds in times] + [f"transitions {row['transitions']}"]
        unknown_s = first["duration_unknown_s"]
        return [*told, f"first: unknown {unknown_s:g} s"] if first is not row and unknown_s else told
    return [f"{row['mean_time_weighted']:g}", row["unit"]]


def _values(picture: Picture, scale: Scale, readings: list[Row]) -> None:
    """Readings of the counter, of the state and what else its node sends, of the temperature."""
    up = Scale(0, 1000, 100, 58)
    for row in readings:
        x, signal = scale(row["event_time"]), row["signal_id"]
        if signal == "bottles":
            picture.dot(x, up(row["value_long"]), radius=2.5)
        elif signal == "room":
            picture.dot(x, 210, "mute", hollow=True, radius=2.5)
        elif signal == FILLER["signal_id"]:
            picture.dot(x, 210, "bad" if row["value_string"] == "fault" else "good", radius=5)
            picture.text(x + 10, 200, row["value_string"], size=SMALL)
        else:
            picture.dot(x, 348 if row["event_time"] < CHANGE else 334, radius=2.5)


def draw() -> Picture:
    """Event time; a lane per signal with its values, and below it what its windows say."""
    chain = run()
    picture = Picture(
        "Counters, states and units over windows of 30 s",
        "A counter is reset and rolls over, its increments go on; a state is unknown while its source is silent, its "
        "transition is counted; a change of unit splits a window in two.",
        470,
    )
    scale = Scale(TEN, TEN + 3 * MINUTE, 120)
    picture.ticks(scale, 435, 30 * SECOND, top=48)
    windows: dict[str, dict[int, list[Row]]] = {}
    for row in chain.out[topology.WINDOW.name]:
        windows.setdefault(row["signal_id"], {}).setdefault(row["window_start"], []).append(row)
    readings = [row for row in chain.out[topology.READING.name] if row["event_time"] <= scale.end_us]
    _values(picture, scale, readings)
    lanes = (
        ("bottles", 112, "bottles", 58),
        ("state", 230, FILLER["signal_id"], 58),
        ("bearing", 364, CELSIUS["signal_id"], 42),
    )
    for name, y, signal, height in lanes:
        picture.lane(y + height / 2, name)
        for first, *later in windows[signal].values():
            row = later[-1] if later else first
            left, right = scale(row["window_start"]) + 1, scale(row["window_end"]) - 1
            if right > scale.right:
                continue
            picture.box(left, y, right, y + height, "good" if row["coverage"] == 1.0 else "doubt")
            for number, text in enumerate(_told(row, first)):
                picture.text((left + right) / 2, y + 17 + number * 16, text, anchor="middle", size=SMALL, over=False)
    return picture
