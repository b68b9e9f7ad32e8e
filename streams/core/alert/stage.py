"""The alert stage. Enter: validated readings (`ot.reading.v1`), rules, IT context. Leave: transitions (`ops.alert.v1`).

Readings are judged as they come, in the order of the log; nothing is held back, so that a lone reading beyond a limit
alerts at once. Delays are event time: they pass with readings of the same source, and where nothing comes with time
itself. A reading older than the last of its signal is counted as late and changes nothing. What began and ended in a
backlog is recorded and not annunciated; what a backlog leaves standing is annunciated once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from streams import topology
from streams.core.alert.book import CONDITION, Book
from streams.core.alert.chunk import Carried, Clocks, Judged, judge
from streams.core.alert.coverage import UNKNOWN, Unknown
from streams.core.alert.output import records
from streams.core.alert.rule import Rule
from streams.core.alert.rule_match import Compiled, compile_rules
from streams.core.alert.silence import output as silence_output
from streams.core.alert.silence.part import Outcome, Patience, Silence
from streams.core.alert.silence.tables import TABLES, Told
from streams.core.alert.walk import Walk, unannunciated
from streams.core.context import Context
from streams.core.dictionary import Memo
from streams.core.frames import COORDINATES, ID, READING
from streams.core.redundancy import selection
from streams.core.redundancy.selection import Redundancy
from streams.core.stage import Change, Moment, Result, Table, Tables
from streams.core.times import NEVER_US, SECOND_US

DISORDER_US: Final = 1 * SECOND_US
BACKLOG_US: Final = 60 * SECOND_US
SETTLE_US: Final = 5 * SECOND_US
AHEAD_US: Final = 60 * SECOND_US

SIGNAL: Final = Table("signal", pl.Schema({"signal_id": ID, "last_time": pl.Int64()}), key=("signal_id",))
UNKNOWN_TIME: Final = Table("unknown", UNKNOWN, key=("signal_id",))
SOURCE: Final = Table(
    "source", pl.Schema({"source_id": ID, "last_time": pl.Int64(), "last_seen": pl.Int64()}), key=("source_id",)
)
ANCHOR: Final = Table(
    "anchor",
    pl.Schema({"rule_id": ID, "signal_id": ID, "anchor_time": pl.Int64(), "anchor_value": pl.Float64()}),
    key=("rule_id", "signal_id"),
)
_NOTHING: Final = Outcome((), {})
_NO_READINGS: Final = pl.DataFrame(schema={**READING, **COORDINATES})


class Alert:
    """Threshold, rate-of-change and state rules on readings, and rules on what does not come.

    Args:
        rules: checked rules (`streams.core.alert.rule.load`).
        disorder_us: how much later than its neighbours a reading of the same source may come.
        backlog_us: older than this when it is read, a reading is one of the past.
        settle_us: after so long without more from a source, what its backlog left standing is annunciated.
        ahead_us: an event time later than the broker's time by more than this is taken as that time.
        redundancy: which readings count where several gateways deliver one signal.
    """

    tables = (CONDITION, SIGNAL, UNKNOWN_TIME, SOURCE, ANCHOR, *TABLES, *selection.TABLES)

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        disorder_us: int = DISORDER_US,
        backlog_us: int = BACKLOG_US,
        settle_us: int = SETTLE_US,
        ahead_us: int = AHEAD_US,
        redundancy: Redundancy | None = None,
    ) -> None:
        self._rules = {rule.id: rule for rule in rules if rule.runs and rule.watch is None}
        self._disorder_us = disorder_us
        self._backlog_us = backlog_us
        self._settle_us = settle_us
        self._ahead_us = ahead_us
        self._redundancy = redundancy or Redundancy()
        self._silence = Silence(rules, Patience(disorder_us, backlog_us, settle_us))
        self._compiled = Memo(lambda signals: compile_rules(list(self._rules.values()), signals))

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """Judge the readings of one chunk. ValueError on any topic but `ot.reading.v1`."""
        if topic != topology.READING.name:
            raise ValueError(f"{topic}: alert reads {topology.READING.name} only; give other topics to their own stage")
        # A stamp far ahead would make all that follows late: no reading is newer than its arrival, but for the clocks.
        arrived = pl.col("ingest_time") + self._ahead_us
        frame = frame.with_columns(event_time=pl.min_horizontal("event_time", arrived))
        compiled = self._compiled.of(context)
        sources = _times(state["source"], "last_time")
        clocks = Clocks(frame, lambda source: sources.get(source, NEVER_US))
        # A gateway on standby is there, too: silence is told before one is chosen.
        silence = self._silence.step(frame, state, context, moment) if self._silence.rules else _NOTHING
        chosen = self._redundancy.select(frame, state, context)
        frame = chosen.frame
        last_us = _by_slot(state["signal"], compiled)
        unknown = Unknown(state["unknown"], compiled, frame, last_us)
        past_us = moment.now_us - self._backlog_us
        walk = Walk(Book(state["condition"]), compiled, unknown, clocks, past_us, self._disorder_us)
        walk.withdraw(self._rules)
        judged = judge(frame, compiled, _carried(walk.book, compiled, last_us, state["anchor"]), past_us)
        walk.readings(judged)
        changes = {
            "signal": Change(upsert=_seen(judged, compiled)),
            "unknown": Change(upsert=unknown.upsert),
            "source": Change(upsert=_sources(clocks, moment)),
            "anchor": Change(upsert=_anchors(judged, compiled)),
            **chosen.changes,
            **silence.changes,
        }
        counts = {**_late(judged, compiled), **chosen.counts}
        return self._result(walk, changes, context, moment, silence.told, counts)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Delays that passed in silence, alerts of a backlog that stand, and what rules and dictionary left behind."""
        compiled = self._compiled.of(context)
        last_us = _by_slot(state["signal"], compiled)
        times, seen = _times(state["source"], "last_time"), _times(state["source"], "last_seen")
        since = moment.caught_up_since_us

        def silent_us(source: str) -> int:
            return 0 if since is None else max(moment.now_us - max(seen.get(source, since), since), 0)

        clocks = Clocks(_NO_READINGS, lambda source: times.get(source, NEVER_US) + silent_us(source))
        unknown = Unknown(state["unknown"], compiled, _NO_READINGS, last_us)
        past_us = moment.now_us - self._backlog_us
        walk = Walk(Book(state["condition"]), compiled, unknown, clocks, past_us, self._disorder_us)
        walk.withdraw(self._rules)
        walk.time(last_us)
        if since is not None and moment.now_us - since >= self._settle_us:
            walk.stand(
                condition
                for condition in unannunciated(walk.book.open())
                if silent_us(condition.source_id) >= self._settle_us or clocks.at(condition.source_id) >= past_us
            )
        silence = self._silence.timer(state, context, moment) if self._silence.rules else _NOTHING
        changes = {**_forgotten(state, compiled), **silence.changes}
        return self._result(walk, changes, context, moment, silence.told, {})

    def _result(
        self,
        walk: Walk,
        changes: Mapping[str, Change],
        context: Context,
        moment: Moment,
        silence: Sequence[Told],
        counts: Mapping[tuple[str, str], int],
    ) -> Result:
        conditions = walk.book.upsert()
        forgotten = changes.get("condition", Change()).delete
        if forgotten is not None and conditions.height:
            forgotten = forgotten.join(conditions, on=list(CONDITION.key), how="anti")
        merged = {**changes, "condition": Change(upsert=conditions, delete=forgotten)}
        told_states = Counter(one.state for one in walk.transitions) + Counter(one.state for one in silence)
        counts = {**counts, **{("transitions", name): number for name, number in told_states.items()}}
        frames = [records(walk.transitions, self._rules, context, moment.now_us)] if walk.transitions else []
        if silence:
            frames.append(silence_output.records(silence, self._silence.rules, context, moment.now_us))
        out = {topology.ALERT.name: pl.concat(frames).sort("event_time", "alert_id", "revision")} if frames else {}
        told = {name: change for name, change in merged.items() if _tells(change)}
        return Result(changes=told, out=out, counts=counts)


def _tells(change: Change) -> bool:
    return any(frame is not None and frame.height for frame in (change.upsert, change.delete))


def _times(sources: pl.DataFrame, column: str) -> dict[str, int]:
    return dict(sources.select(pl.col("source_id").cast(pl.String), column).iter_rows())


def _by_slot(signals: pl.DataFrame, compiled: Compiled) -> np.typing.NDArray[np.int64]:
    last_us = np.full(compiled.slots, NEVER_US)
    slot = compiled.slot(signals["signal_id"])
    last_us[slot[slot >= 0]] = signals["last_time"].to_numpy()[slot >= 0]
    return last_us


def _carried(book: Book, compiled: Compiled, last_us: np.typing.NDArray[np.int64], anchors: pl.DataFrame) -> Carried:
    held = book.held(compiled)
    busy = np.zeros(compiled.slots, dtype=np.bool_)
    busy[compiled.pair_slot[held["pair"].to_numpy()]] = True
    by_pair = anchors.join(compiled.known, on=["rule_id", "signal_id"]).select("pair", "anchor_time", "anchor_value")
    return Carried(last_us, busy, held, by_pair)


def _seen(judged: Judged, compiled: Compiled) -> pl.DataFrame:
    seen = pl.Series(judged.seen)
    return pl.DataFrame({"signal_id": compiled.signal_ids, "last_time": pl.Series(judged.last_us)}).filter(seen)


def _anchors(judged: Judged, compiled: Compiled) -> pl.DataFrame:
    return judged.anchors.join(compiled.known, on="pair").select(ANCHOR.schema.names())


def _sources(clocks: Clocks, moment: Moment) -> pl.DataFrame:
    rows = [(source, time_us, moment.now_us) for source, time_us in clocks.sources()]
    return pl.DataFrame(rows, schema=SOURCE.schema, orient="row")


def _late(judged: Judged, compiled: Compiled) -> dict[tuple[str, str], int]:
    if not judged.late.any():
        return {}
    by_rule = np.bincount(compiled.pair_rule, judged.late[compiled.pair_slot], minlength=len(compiled.rules))
    return {("late", rule.id): int(count) for rule, count in zip(compiled.rules, by_rule, strict=True) if count}


def _forgotten(state: Tables, compiled: Compiled) -> dict[str, Change]:
    """Deletes rows of rules and signals that are no longer; nothing while there is no dictionary at all."""
    if not compiled.slots:
        return {}
    watched = pl.DataFrame({"signal_id": compiled.signal_ids})
    pairs = compiled.known.select("rule_id", "signal_id")
    keep = {"signal": watched, "unknown": watched, "condition": pairs, "anchor": pairs}
    gone = {
        name: state[name].join(rows, on=rows.columns, how="anti").select(rows.columns) for name, rows in keep.items()
    }
    return {name: Change(delete=rows) for name, rows in gone.items()}
