"""How a watermark follows its sources: a slow one, a silent one, one that returns with a backlog."""

from __future__ import annotations

from itertools import pairwise

from streams import topology
from streams.agents.window import config
from streams.core.stage import Moment
from streams.core.window.standing import Standing, standings
from streams.core.window.watermark import SOURCE
from streams.kafka.lag import TaskLag
from streams.lag import Limits, as_text
from tests.pictures.chain import SECOND, Chain
from tests.pictures.drawing import SMALL, Picture, Scale, clock
from tests.pictures.plant import LINE, TEMPERATURE, TEN, dictionary

CURRENT = {
    **LINE,
    "signal_id": "motor-current",
    "source_id": "edge-2",
    "address": "filler/motor/current",
    "unit": "A",
    "period_ms": 1000,
    "window_lengths_s": [10],
}
CUT, BACK, LAST = 35, 65, 110
KINDS = {"holding": "doubt", "ahead": "good", "released": "mute", "backlog": "new"}


def run() -> tuple[Chain, list[tuple[int, int, list[Standing]]]]:
    """Two edge nodes; of each second the watermark, and what each source does to it.

    edge-1 sends at once; edge-2 six seconds later, is cut off for half a minute, then delivers four readings a second.
    """
    chain = Chain(dictionary(TEMPERATURE, CURRENT), ("window",))
    freed = TEN + BACK * SECOND
    for second in range(LAST):
        measured = TEN + second * SECOND
        chain.send(measured + SECOND // 2, address=TEMPERATURE["address"], source_time=measured, value_double=60.0)
        taken = measured + 6 * SECOND
        if taken >= TEN + CUT * SECOND:
            freed = max(freed + SECOND // 4, taken)
            taken = freed
        chain.send(taken, source_id="edge-2", address=CURRENT["address"], source_time=measured, value_double=8.0)
    patience, told = config(chain.settings).patience, []
    for now in range(TEN + SECOND, TEN + LAST * SECOND, SECOND):
        chain.tick(now)
        task = chain.tasks["window"]
        mark = task.watermark_us or 0
        if task.state[SOURCE.name].height:
            told.append((now, mark, standings(task.state[SOURCE.name], mark, Moment(now, TEN), patience)))
    return chain, told


def lag(second: int) -> str:
    """What `plantweave lag` prints of the task at that second of the run."""
    _, told = run()
    now, mark, sources = next(one for one in told if one[0] == TEN + second * SECOND)
    task = TaskLag("window", 0, 1, True, mark, {topology.READING.name: 0}, tuple(sources))
    return "\n".join(as_text([task], now, Limits()))


def draw() -> Picture:
    """Event time over the clock: a line per source, and the watermark below them."""
    chain, told = run()
    picture = Picture(
        "The watermark waits for the slowest source that still speaks",
        "Event time reached by two sources and by the watermark, over the time on the clock; edge-2 is slow, then "
        "silent, then delivers a backlog.",
        490,
    )
    end = TEN + LAST * SECOND
    across = Scale(TEN, end, 110)
    up = Scale(TEN - 5 * SECOND, end, 400, 60)
    picture.ticks(across, 400, 10 * SECOND)
    for ten in range(0, LAST + 1, 20):
        y = up(TEN + ten * SECOND)
        picture.line(across.left, y, across.right, y)
        picture.text(across.left - 8, y + 4.5, clock(TEN + ten * SECOND), "faint", "end", SMALL)
    picture.text(20, 50, "event time", "faint", size=SMALL)
    for source, kind in (("edge-1", "good"), ("edge-2", "doubt")):
        points = [(now, one.max_event_time) for now, _, sources in told for one in sources if one.source_id == source]
        picture.path([(across(now), up(time)) for now, time in points], kind)
    mark = [(across(now), up(max(mark, TEN - 5 * SECOND))) for now, mark, _ in told]
    picture.path(mark, "ink", "5 3")
    for row in chain.out[topology.WINDOW.name]:
        if row["signal_id"] == "motor-current":
            late = row["reason"] != "watermark" and row["reason"] != "idle"
            picture.dot(across(row["emitted_at"]), up(row["window_end"]), "new", hollow=not late)
    for second, reached, name, kind in (
        (26, 37, "edge-1", "good"),
        (47, 30, "edge-2 is silent", "doubt"),
        (51, 41, "watermark", "ink"),
    ):
        picture.text(
            across(TEN + second * SECOND), up(TEN + reached * SECOND), name, kind, "end" if kind == "good" else "start"
        )
    left = across(TEN + 66 * SECOND)
    picture.dot(left, up(TEN + 14 * SECOND) - 4, "new", hollow=True)
    picture.text(left + 12, up(TEN + 14 * SECOND), "a window of edge-2 is written (at its end)", size=SMALL)
    picture.dot(left, up(TEN + 8 * SECOND) - 4, "new")
    picture.text(left + 12, up(TEN + 8 * SECOND), "it is written anew: a revision", size=SMALL)
    picture.lane(455, "edge-2")
    spans: list[tuple[str, int]] = []
    for now, _, sources in told:
        status = next((one.status for one in sources if one.source_id == "edge-2"), None)
        if status and (not spans or spans[-1][0] != status):
            spans.append((status, now))
    for (status, begin), (_, until) in pairwise([*spans, ("", end)]):
        picture.box(across(begin), 443, across(until), 467, KINDS[status], status)
    return picture
