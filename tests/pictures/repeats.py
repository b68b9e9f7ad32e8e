"""What is sent twice, and what is sent twice and is not the same."""

from __future__ import annotations

import re

from streams import topology
from streams.kafka.metrics import Metrics
from tests.pictures.chain import SECOND, Chain
from tests.pictures.drawing import SMALL, Picture, Scale, clock
from tests.pictures.plant import LINE, TEMPERATURE, TEN, dictionary

LEVEL = {
    **LINE,
    "signal_id": "bowl-level",
    "source_id": "edge-2",
    "address": "filler/level",
    "unit": "mm",
    "period_ms": 1000,
    "window_lengths_s": [10],
}
# Batches of edge-1 by second: their numbers. The second one is sent again.
BATCHES = {2: 1, 4: 2, 6: 3, 7: 2, 8: 4, 10: 5}
# Of edge-2: (second measured, second sent, value, sequence).
SINGLE = [(number, float(number), 50.0, number) for number in range(13)] + [(3, 4.5, 50.0, 3), (6, 8.5, 58.0, 60)]
METRIC = re.compile(r'plantweave_events_total\{kind="(readings|repeats)",label="(batch|duplicate|conflict)"\} \d+\.0')


def run() -> Chain:
    """Two edge nodes: one sends batches with boot id and sequence, the other single readings."""
    chain = Chain(dictionary(TEMPERATURE, LEVEL), ("window",))
    for second, number in BATCHES.items():
        times = [TEN + (2 * number - 2 + more) * SECOND for more in range(2)]
        columns = {"address": [TEMPERATURE["address"]] * 2, "source_time": times, "value_double": [70.0, 70.5]}
        chain.send(TEN + second * SECOND, boot_id="a", sequence=number, **columns)
    for number in range(6, 20):
        later = {
            "address": [TEMPERATURE["address"]],
            "source_time": [TEN + (2 * number - 2) * SECOND],
            "value_double": [70.0],
        }
        chain.send(TEN + 2 * number * SECOND, boot_id="a", sequence=number, **later)
    for measured, sent, value, sequence in (
        *SINGLE,
        *((number, float(number), 50.0, number) for number in range(13, 30)),
    ):
        taken = TEN + round((sent + 0.25) * SECOND)
        said = {"source_time": TEN + measured * SECOND, "value_double": value, "sequence": sequence}
        chain.send(taken, source_id="edge-2", address=LEVEL["address"], **said)
    chain.run(TEN, TEN + 16 * SECOND, SECOND // 4)
    return chain


def metrics(chain: Chain) -> list[str]:
    """What the workers' metrics say of it."""
    worker = Metrics()
    for task in chain.tasks.values():
        worker.counts(task.counts)
    return [found.group().removesuffix(".0") for found in METRIC.finditer(worker.text().decode())]


def draw() -> Picture:
    """Over the clock: what is sent, what of it counts, the windows that come of it."""
    chain = run()
    picture = Picture(
        "Sent twice, counted once",
        "A batch and a reading are sent twice, and another reading with another value; windows count an instant once.",
        340,
    )
    scale = Scale(TEN, TEN + 15 * SECOND, 190)
    picture.ticks(scale, 240, 2 * SECOND, top=48)
    picture.lane(80, "edge-1", "batches, by sequence", scale)
    seen: set[int] = set()
    for second, number in BATCHES.items():
        x = scale(TEN + second * SECOND)
        again = number in seen
        seen.add(number)
        picture.box(x - 17, 68, x + 17, 92, "mute" if again else "good", str(number), dash="3 3" if again else "")
        if again:
            picture.cross(x, 80, arm=10)
    picture.lane(140, "edge-2", "single readings", scale)
    for measured, sent, value, _ in SINGLE:
        x = scale(TEN + round((sent + 0.25) * SECOND))
        if measured == sent:
            picture.dot(x, 140, "mute" if measured == 6 else "good", hollow=measured == 6)
        elif value == 50.0:
            picture.cross(x, 140, arm=6)
            picture.text(x, 124, f"{clock(TEN + measured * SECOND, ':%S')} again", "bad", "middle", SMALL)
        else:
            picture.dot(x, 140, "new", radius=6)
            picture.text(x, 124, f"{clock(TEN + measured * SECOND, ':%S')}, other value", "new", "middle", SMALL)
    picture.lane(200, "windows", "of the first 10 s", scale)
    told = {row["signal_id"]: row for row in chain.out[topology.WINDOW.name] if row["window_start"] == TEN}
    batches, level = told[TEMPERATURE["signal_id"]], told[LEVEL["signal_id"]]
    x = scale(level["emitted_at"])
    picture.dot(x, 200, "new", radius=5)
    text = f"edge-1: count {batches['count']}; edge-2: count {level['count']}, max {level['max']:g}"
    picture.text(x - 12, 204.5, text, "ink", "end", SMALL)
    picture.lines(20, 288, metrics(chain), "faint", SMALL)
    return picture
