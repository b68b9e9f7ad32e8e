"""One window and what late readings do to it: in memory, recomputed from the log, and beyond the horizon."""

from __future__ import annotations

from streams import topology
from tests.pictures.chain import HOUR, MINUTE, SECOND, Chain
from tests.pictures.drawing import SMALL, Picture, Scale, clock
from tests.pictures.plant import TEMPERATURE, TEN, dictionary

# Second in the window -> when the broker took it. All others come at once.
LATE = {3: TEN + 40 * SECOND, 5: TEN + 20 * MINUTE, 7: TEN + 25 * HOUR}
VALUE = {3: 75.0, 5: 90.0, 7: 60.0}


def run() -> Chain:
    """A temperature over ten seconds of which three readings come late; then one every now and then for a day."""
    chain = Chain(dictionary(TEMPERATURE), ("window",))
    for second in range(60):
        measured = TEN + second * SECOND
        taken = LATE.get(second, measured + SECOND // 2)
        value = VALUE.get(second, 70.0 + second % 3)
        chain.send(taken, address=TEMPERATURE["address"], source_time=measured, value_double=value)
    for measured in range(TEN + MINUTE, TEN + 25 * HOUR, 10 * MINUTE):
        chain.send(measured + SECOND // 2, address=TEMPERATURE["address"], source_time=measured, value_double=71.0)
    chain.run(TEN, TEN + MINUTE)
    for now in range(TEN + 2 * MINUTE, TEN + 25 * HOUR + 10 * MINUTE, 10 * MINUTE):
        if now == TEN + 22 * MINUTE:
            chain.run(now - 2 * MINUTE, now, SECOND)
        chain.tick(now)
    return chain


def draw() -> Picture:
    """A panel per moment: the readings of the window that were known by then, and the record that was written."""
    chain = run()
    told = [row for row in chain.out[topology.WINDOW.name] if row["window_start"] == TEN]
    beyond = chain.out[topology.LATE.name]
    readings = [row for row in chain.out[topology.READING.name] if row["event_time"] < TEN + 10 * SECOND]
    picture = Picture(
        "One window, three late readings",
        "The window from 10:00:00 to 10:00:10 is written, revised after a late reading, revised again from the log "
        "after 20 minutes; what comes a day later goes to a topic of its own.",
        375,
    )
    taken = {row["event_time"]: row["ingest_time"] for row in readings}
    moments = [(row["emitted_at"], row) for row in told] + [(taken[row["event_time"]], row) for row in beyond]
    wide = 860 / len(moments)
    for number, (until, row) in enumerate(moments):
        left = 20 + number * wide
        window = "revision" in row
        across, up = Scale(TEN, TEN + 10 * SECOND, left + 8, left + wide - 30), Scale(55, 95, 230, 80)
        day = "" if clock(until, "%d") == clock(TEN, "%d") else ", a day later"
        picture.text(left, 62, f"{clock(until)}{day}", weight=600)
        picture.line(across.left, 230, across.right, 230, "faint")
        known = [one for one in readings if one["ingest_time"] <= until]
        newest = max(known, key=lambda one: one["ingest_time"])
        for one in known:
            old = one is not newest or number == 0
            x, y = across(one["event_time"]), up(one["value_double"])
            kind = "good" if old else "new" if window else "bad"
            picture.dot(x, y, kind, hollow=not window and not old, radius=3.5 if old else 6)
        if window:
            mean = up(row["mean_time_weighted"])
            picture.line(across.left, mean, across.right, mean, "new", "4 3")
        picture.text(across.left, 249, clock(TEN, "%H:%M:%S"), "faint", size=SMALL)
        picture.text(across.right, 249, ":10", "faint", "end", size=SMALL)
        if window:
            texts = [
                f"revision: {row['revision']}",
                f"supersedes: {'null' if row['supersedes'] is None else row['supersedes']}",
                f"reason: {row['reason']}",
                f"count: {row['count']}",
                f"mean_time_weighted: {row['mean_time_weighted']:.1f}",
            ]
        else:
            texts = [
                f"event_time: {clock(row['event_time'])}",
                f"lateness_s: {row['lateness_s']:.0f}",
                "no window changes",
            ]
        topic, kind = (topology.WINDOW, "new") if window else (topology.LATE, "bad")
        picture.text(left, 272, topic.name, kind, weight=600)
        picture.lines(left, 291, texts, size=SMALL)
    return picture
