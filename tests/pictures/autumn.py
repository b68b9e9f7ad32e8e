"""The night in which an hour of local time is there twice."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from streams import topology
from streams.core.frames import AMBIGUOUS_TIME
from tests.pictures.chain import HOUR, MINUTE, SECOND, Chain, Row, at
from tests.pictures.drawing import SMALL, Picture, Scale, clock
from tests.pictures.plant import TEMPERATURE, dictionary

ZONE = "Europe/Berlin"
BEGIN, END = at("2026-10-24T23:30:00"), at("2026-10-25T02:30:00")
MORNING = at("2026-10-25T06:00:00")
EVERY = 15 * MINUTE
LIVE = {**TEMPERATURE, "time_zone": ZONE, "period_ms": 900_000}
BUFFERED = {**LIVE, "signal_id": "buffered", "source_id": "edge-2"}


def wall(time_us: int) -> int:
    """What a clock in the zone shows, encoded as if it were UTC (us): what such sources send."""
    offset = datetime.fromtimestamp(time_us // SECOND, ZoneInfo(ZONE)).utcoffset()
    return time_us + round(offset.total_seconds()) * SECOND if offset else time_us


def run() -> Chain:
    """Two sources in local time: one sends at once, the other in the morning, as historical."""
    chain = Chain(dictionary(LIVE, BUFFERED), ())
    for measured in range(BEGIN, END + 1, EVERY):
        said = {"address": LIVE["address"], "source_time": wall(measured), "value_double": 70.0}
        chain.send(measured + SECOND, **said)
        chain.send(MORNING, **{**said, "source_id": "edge-2", "historical": True})
    for now in (*range(BEGIN, END + 1, EVERY), MORNING):
        chain.tick(now + 2 * SECOND)
    return chain


def _lane(picture: Picture, scale: Scale, y: float, rows: list[Row]) -> None:
    for row in rows:
        doubt = bool(row["flags"] & AMBIGUOUS_TIME)
        picture.dot(scale(row["event_time"]), y, "doubt" if doubt else "good", radius=5)


def draw() -> Picture:
    """UTC; above it what the wall clock shows, below it the event times of both sources."""
    chain = run()
    picture = Picture(
        f"Sunday, 25 October 2026, {ZONE}: the hour after 02:00 is there twice",
        "A live source's stamps of the repeated hour are told apart by when they were seen; a backlog of that hour is "
        "read as its first pass. Both are marked.",
        270,
    )
    scale = Scale(BEGIN - 5 * MINUTE, END + 5 * MINUTE, 190)
    picture.ticks(scale, 200, 30 * MINUTE, "%H:%M UTC", top=78)
    picture.lane(65, "on the wall")
    for time_us in range(BEGIN, END + 1, 30 * MINUTE):
        again = wall(time_us) < wall(time_us - HOUR) + MINUTE or wall(time_us + HOUR) == wall(time_us)
        picture.text(
            scale(time_us), 69.5, clock(wall(time_us), "%H:%M"), "doubt" if again else "ink", "middle", weight=600
        )
    picture.lane(110, "edge-1, live", "event_time", scale)
    picture.lane(160, "edge-2, backlog", "event_time", scale)
    readings = chain.out[topology.READING.name]
    _lane(picture, scale, 110, [row for row in readings if row["signal_id"] == LIVE["signal_id"]])
    _lane(picture, scale, 160, [row for row in readings if row["signal_id"] == "buffered"])
    picture.dot(24, 246, "good", radius=5)
    picture.text(36, 250, "certain", size=SMALL)
    picture.dot(116, 246, "doubt", radius=5)
    picture.text(128, 250, "ambiguous (flags: 32)", size=SMALL)
    return picture
