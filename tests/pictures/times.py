"""One reading and the four times that its records carry."""

from __future__ import annotations

from streams import topology
from tests.pictures.chain import SECOND, Chain
from tests.pictures.drawing import SMALL, Picture, Scale, clock
from tests.pictures.plant import TEMPERATURE, TEN, dictionary

HOT = 7
BEGIN, END = TEN - SECOND, TEN + 16 * SECOND


def run() -> Chain:
    """A bearing that is too hot from the eighth second on; its gateway sends every reading about 1.5 s later."""
    chain = Chain(dictionary(TEMPERATURE), ("window", "alert"))
    for second in range(18):
        seen = TEN + second * SECOND + 300_000
        chain.send(
            seen + 1_400_000,
            address=TEMPERATURE["address"],
            source_time=seen - 200_000,
            gateway_time=seen,
            value_double=71.5 if second < HOT else 88.5,
        )
    chain.run(TEN, TEN + 20 * SECOND, SECOND // 5)
    return chain


def exact(time_us: int) -> str:
    """To the tenth of a second."""
    return clock(time_us, "%H:%M:%S.%f")[:-5]


def draw() -> Picture:
    """Lanes by who stamps; one reading is followed through them."""
    chain = run()
    readings = chain.out[topology.READING.name]
    window = chain.out[topology.WINDOW.name][0]
    alarm = next(row for row in chain.out[topology.ALERT.name] if row["kind"] == "alarm")
    picture = Picture(
        "Four times: measured, seen, stored, told",
        "A reading is measured at 10:00:07.1, seen by the gateway, stored by the broker, and leads to an alarm; its "
        "window ends at 10:00:10 and is written later.",
        400,
    )
    scale, lanes = Scale(BEGIN, END, 190), (80, 140, 200, 265, 325)
    picture.ticks(scale, 365, 2 * SECOND, top=52)
    border = scale(window["window_end"])
    picture.line(border, 52, border, 365, "new", "4 3")
    names = ("measured", "seen", "stored")
    stamps = ("event_time", "gateway_time", "ingest_time")
    for y, name, stamp in zip(lanes, names, stamps, strict=False):
        picture.lane(y, name, stamp, scale)
    hot = readings[HOT]
    path = []
    for reading in readings:
        # The gateway's time is in the raw reading only: here it is always 0.2 s later.
        times = (reading["event_time"], reading["event_time"] + 200_000, reading["ingest_time"])
        chosen = reading is hot
        for y, time_us in zip(lanes, times, strict=False):
            if time_us < END:
                picture.dot(scale(time_us), y, "bad" if chosen else "good", radius=6 if chosen else 3.5)
            if chosen:
                path.append((scale(time_us), y))
                picture.text(scale(time_us) + 9, y - 9, exact(time_us), "bad", size=SMALL)
    told = scale(alarm["detection_time"])
    picture.path([*path, (told, lanes[3])], "bad", "3 3", 1.5)
    picture.lane(lanes[3], "alarm", "begin, detection", scale)
    picture.box(scale(alarm["begin_time"]), lanes[3] - 12, told, lanes[3] + 12, "bad")
    picture.box(
        told, lanes[3] - 12, scale(END), lanes[3] + 12, "bad", f"detection_time {exact(alarm['detection_time'])}"
    )
    begin = f"begin_time {exact(alarm['begin_time'])}"
    picture.text(scale(alarm["begin_time"]) - 8, lanes[3] + 4.5, begin, "bad", "end", SMALL)
    picture.lane(lanes[4], "window", "start, end, emitted", scale)
    span = f"window_start {clock(window['window_start'])}, window_end {clock(window['window_end'])}"
    picture.box(scale(window["window_start"]), lanes[4] - 12, border, lanes[4] + 12, "new", span)
    picture.dot(scale(window["emitted_at"]), lanes[4], "new", radius=5)
    picture.text(
        scale(window["emitted_at"]) - 9,
        lanes[4] - 9,
        f"emitted_at {exact(window['emitted_at'])}",
        "new",
        "middle",
        SMALL,
    )
    return picture
