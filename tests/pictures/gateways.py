"""Two gateways for one signal: who is on duty, and whose readings count."""

from __future__ import annotations

from typing import Any

from streams import topology
from streams.agents import redundancy
from streams.core.redundancy.selection import TABLES
from streams.core.stage import apply
from tests.pictures.chain import SECOND, Chain
from tests.pictures.drawing import SMALL, Picture, Scale
from tests.pictures.plant import TEMPERATURE, TEN, dictionary

PRIMARY = {**TEMPERATURE, "signal_id": "bearing", "source_id": "gateway-a"}
STANDBY = {**PRIMARY, "signal_id": "bearing-b", "source_id": "gateway-b", "redundant_of": "bearing"}
DEAD, BACK, LAST = 20, 45, 100


def run() -> Chain:
    """Both gateways send every second; the primary is dead for 25 s."""
    chain = Chain(dictionary(PRIMARY, STANDBY), ("window",))
    for second in range(LAST):
        measured = TEN + second * SECOND
        said = {"address": PRIMARY["address"], "source_time": measured, "value_double": 70.0}
        if not DEAD < second < BACK:
            chain.send(measured + SECOND // 4, **{**said, "source_id": "gateway-a"})
        chain.send(measured + SECOND // 2, **{**said, "source_id": "gateway-b", "value_double": 70.2})
    chain.run(TEN, TEN + LAST * SECOND)
    return chain


def selected(chain: Chain) -> list[tuple[dict[str, Any], bool]]:
    """Each validated reading, and whether it counts: what `window`, `alert` and `kpi` select from the log."""
    choice, told = redundancy(chain.settings), []
    state = {table.name: table.empty() for table in TABLES}
    for chunk in chain.log:
        made = choice.select(chunk, state, chain.context)
        for table in TABLES:
            if table.name in made.changes:
                state[table.name] = apply(table, state[table.name], made.changes[table.name])
        kept = [True] * chunk.height if made.kept is None else made.kept.tolist()
        told += list(zip(chunk.rows(named=True), kept, strict=True))
    return told


def draw() -> Picture:
    """Event time; a lane per gateway, filled where a reading counts, and the windows below."""
    chain = run()
    picture = Picture(
        "One signal, two gateways: one of them is on duty",
        "The primary gateway is silent for 25 s; the standby takes over after 10 s and gives back "
        "once the primary has been there for 30 s.",
        290,
    )
    scale = Scale(TEN, TEN + LAST * SECOND, 170)
    picture.ticks(scale, 215, 10 * SECOND, top=48)
    lanes = {"bearing": 75, "bearing-b": 115}
    picture.lane(75, "gateway-a", "primary", scale)
    picture.lane(115, "gateway-b", "standby", scale)
    for reading, counts in selected(chain):
        kind = "good" if counts else "mute"
        picture.dot(scale(reading["event_time"]), lanes[reading["signal_id"]], kind, hollow=not counts, radius=3)
    picture.lane(170, "windows of", "signal bearing")
    for row in chain.out[topology.WINDOW.name]:
        kind = "good" if row["coverage"] == 1.0 else "doubt"
        left, right = scale(row["window_start"]), scale(row["window_end"])
        picture.box(left + 1, 152, right - 1, 190, kind)
        picture.text((left + right) / 2, 168, f"{row['coverage']:.0%}", anchor="middle", size=SMALL, over=False)
        picture.text((left + right) / 2, 184, f"count {row['count']}", "faint", "middle", SMALL, over=False)
    numbers = {label: number for (kind, label), number in chain.tasks["window"].counts.items() if kind == "redundancy"}
    told = ", ".join(f"{name} {numbers[name]}" for name in ("standby", "failover", "failback"))
    picture.dot(24, 262, "good")
    picture.text(36, 266, "counts", size=SMALL)
    picture.dot(104, 262, "mute", hollow=True)
    picture.text(116, 266, "is left out", size=SMALL)
    picture.text(220, 266, f'plantweave_events_total{{kind="redundancy"}} by label: {told}', "faint", size=SMALL)
    return picture
