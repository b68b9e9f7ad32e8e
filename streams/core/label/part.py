"""Labels, as a part of each stage that tells alerts. Enter: bare rows, context, time. Leave: `ops.alert.v1`, changes.

A fact is told with what the context says of it at once. Whenever the context is another, all alerts that are kept are
compared with it, and those of which it says something else are told anew: a revision with the reason `context` (asset,
signal, order or position) or `verdict` (what explains it came, was revised, or is over). Facts stay as they were told.
As what is told is compared with what was told last, a repeat after a restart tells nothing twice.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from streams import topology
from streams.core.alert.row import ALERT, HINTS, LABELS
from streams.core.context import Context
from streams.core.label import words
from streams.core.label.labelled import labels
from streams.core.label.tables import COMPARED, ISSUED, TOLD, bare_rows, issued_rows
from streams.core.stage import Change, Moment, Tables, apply, combine, empty
from streams.core.times import DAY_US, NEVER_US, SECOND_US
from streams.core.verdict import VERDICT
from streams.core.verdict.catalogue import PROCESS

HORIZON_US: Final = 35 * DAY_US
# Between two comparisons of all alerts, and so much more for each of them: a comparison takes a few us per alert.
PAUSE_US: Final = SECOND_US
PAUSE_EACH_US: Final = 100
CONTEXT: Final = "context"
OF_VERDICT: Final = "verdict"

# Event time of a source by its id.
Clock = Callable[[str], int]
_Refs = tuple[weakref.ref[pl.DataFrame] | None, ...]


_NO_ROWS: Final = ALERT.to_frame()


@dataclass(frozen=True)
class Labelled:
    """What is told (columns ALERT), changes by table, and counts."""

    rows: pl.DataFrame = field(default_factory=lambda: _NO_ROWS)
    changes: Mapping[str, Change] = field(default_factory=dict)
    counts: Mapping[tuple[str, str], int] = field(default_factory=dict)


class Labels:
    """Labels of the alerts of one stage. `horizon_us`: for how long after its end an alert is still told anew.

    `pause_us`: between two comparisons of all alerts with the context.
    """

    def __init__(self, horizon_us: int = HORIZON_US, pause_us: int = PAUSE_US) -> None:
        self._horizon_us = horizon_us
        self._pause_us = pause_us
        self._compared: dict[int, tuple[int, _Refs]] = {}

    def issue(self, bare: pl.DataFrame, state: Tables, context: Context, clock: Clock) -> Labelled:
        """Tell facts: rows BARE, of one alert in the order of their revisions. They leave in the order they came in."""
        before = state[ISSUED.name].join(bare.select("alert_id").unique(), on="alert_id", how="semi").select(
            "alert_id", _outward="outward", _stood="stood_until", _activities="activities",
            _domain=pl.col("domain").cast(pl.String),
            **{f"_{name}": pl.col(name).cast(pl.String) for name in HINTS},
        )  # fmt: skip
        rows = bare.with_row_index("_place").sort("alert_id", "revision", maintain_order=True)
        rows = rows.join(before, on="alert_id", how="left", maintain_order="left")
        told = pl.col("_outward").fill_null(0) + pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("alert_id")
        rows = rows.with_columns(
            # An alert that was told before labels were kept goes on where it was.
            outward=pl.max_horizontal("revision", told),
            domain=pl.coalesce("domain", "_domain", pl.lit(PROCESS)),
            activities=pl.coalesce("activities", "_activities", pl.lit([], pl.List(pl.String))),
            **{name: pl.coalesce(name, f"_{name}") for name in HINTS},
            known_until=_known_until(rows, "_stood", clock),
        )
        rows = rows.hstack(_prefixed(labels(rows, context)))
        changes = {ISSUED.name: Change(upsert=issued_rows(rows))}
        rows = rows.sort("_place")
        return Labelled(words.records(rows, rows["reason"]), changes, {})

    def timer(
        self, told: Labelled, state: Tables, context: Context, moment: Moment, clock: Clock, newest_us: int
    ) -> Labelled:
        """`told`, and what time and the context change beside it; `newest_us`: event time at present."""
        issued, change = state[ISSUED.name], told.changes.get(ISSUED.name, Change())
        if not empty(change):
            state = {**state, ISSUED.name: apply(ISSUED, issued, change)}
        anew, old = self.relabel(state, context, moment, clock), self._forgotten(issued, newest_us)
        if empty(old) and not anew.changes:
            return told
        changes = {**told.changes, **anew.changes}
        change = combine(ISSUED, change, anew.changes.get(ISSUED.name, Change()))
        changes[ISSUED.name] = combine(ISSUED, old, change)
        return Labelled(pl.concat([told.rows, anew.rows]), changes, {**told.counts, **anew.counts})

    def relabel(self, state: Tables, context: Context, moment: Moment, clock: Clock) -> Labelled:
        """Tell anew what the context by now says otherwise."""
        issued = state[ISSUED.name]
        if not issued.height or context.frame(topology.SIGNAL.name).is_empty():
            return Labelled()  # a dictionary that is empty altogether is not believed
        changes: dict[str, Change] = {}
        if self._due(state, context, moment, issued.height):
            at = max(moment.now_us, _last(state) + 1)
            self._compared[moment.partition] = (at, _refs(context))
            changes[COMPARED.name] = Change(upsert=pl.DataFrame([(0, at)], schema=COMPARED.schema, orient="row"))
        else:
            issued = _over(issued, clock)
            if not issued.height:
                return Labelled()
        rows = bare_rows(issued)
        rows = rows.with_columns(known_until=_known_until(rows, "stood_until", clock))
        found = _prefixed(labels(rows, context))
        reasons = _differences(rows, found)
        anew = rows.drop(found.columns).hstack(found).with_columns(reasons).filter(pl.col("_why").is_not_null())
        anew = anew.with_columns(pl.col("outward") + 1)
        if anew.height:
            changes[ISSUED.name] = Change(upsert=issued_rows(anew))
        counts = {("relabelled", why): count for why, count in anew.group_by("_why").len().iter_rows()}
        return Labelled(words.records(anew, anew["_why"].alias("reason")), changes, counts)

    def _forgotten(self, issued: pl.DataFrame, newest_us: int) -> Change:
        """Alerts that ended before the horizon are kept no longer."""
        floor = newest_us - self._horizon_us
        oldest = issued["over_time"].min() if issued.height else None
        return Change(floor=("over_time", floor) if isinstance(oldest, int) and oldest < floor else None)

    def _due(self, state: Tables, context: Context, moment: Moment, alerts: int) -> bool:
        """Whether the context is another than that of the last comparison, and that is long enough ago.

        What was compared is remembered, but it is the state that says whether that was committed.
        """
        last, known = _last(state), self._compared.get(moment.partition)
        if known is not None and known[0] == last:
            # A frame is another object where it was changed.
            same = (ref is frame if ref is None else ref() is frame
                    for ref, frame in zip(known[1], _frames(context), strict=True))  # fmt: skip
            if all(same):
                return False
        return not 0 <= moment.now_us - last < self._pause_us + PAUSE_EACH_US * alerts


def _last(state: Tables) -> int:
    times = state[COMPARED.name]["at"]
    return int(times[0]) if len(times) else NEVER_US


def _frames(context: Context) -> Iterator[pl.DataFrame | None]:
    """What labels are made of."""
    return (context.frames.get(topic.name) for topic in topology.LABELS)


def _refs(context: Context) -> _Refs:
    return tuple(None if frame is None else weakref.ref(frame) for frame in _frames(context))


def _prefixed(found: pl.DataFrame) -> pl.DataFrame:
    return found.rename({name: TOLD + name for name in found.columns})


def _over(issued: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    """The alerts that are known to stand beyond the end of what explains them, by the time of their sources."""
    if issued["due"].null_count() == issued.height:
        return issued.clear()
    explained = issued.filter(pl.col("due").is_not_null())
    places = explained.select(pl.col("source_id").cast(pl.String), "members", "due").iter_rows()
    return explained.filter(
        pl.Series([_at(clock, source, nodes) > due for source, nodes, due in places], dtype=pl.Boolean)
    )


def _at(clock: Clock, source: str | None, members: list[str] | None) -> int:
    """The time of the source of an alert, or of the edge nodes of a zone."""
    sources = [source] if source is not None else members or []
    return max((clock(one) for one in sources), default=NEVER_US)


def _known_until(rows: pl.DataFrame, stood: str, clock: Clock) -> pl.Series:
    """Up to when each alert is known to stand: by its own time, that of its source, and what was known before."""
    numbered = rows.with_row_index("_at")
    active = numbered.filter(pl.col("state") == "active").select("_at", "source_id", "members", "event_time", stood)
    times = [
        (at, max(_at(clock, source, members), event_time, NEVER_US if before is None else before))
        for at, source, members, event_time, before in active.iter_rows()
    ]
    known = pl.DataFrame(times, schema={"_at": pl.UInt32(), "known_until": pl.Int64()}, orient="row")
    return numbered.select("_at").join(known, on="_at", how="left", maintain_order="left")["known_until"]


def _differences(rows: pl.DataFrame, found: pl.DataFrame) -> pl.Series:
    """`_why`: the reason for which an alert is told anew; null where all is as it was told."""
    both = rows.select(TOLD + name for name in LABELS).hstack(found.rename(lambda name: f"_{name}"))

    def other(name: str) -> pl.Expr:
        was, now = pl.col(TOLD + name), pl.col(f"_{TOLD}{name}")
        return was.list.join("/").ne_missing(now.list.join("/")) if LABELS[name] == pl.List else was.ne_missing(now)

    context = pl.any_horizontal(other(name) for name in LABELS if name not in VERDICT)
    verdict = pl.any_horizontal(other(name) for name in VERDICT)
    why = pl.when(context).then(pl.lit(CONTEXT)).when(verdict).then(pl.lit(OF_VERDICT))
    return both.select(_why=why)["_why"]
