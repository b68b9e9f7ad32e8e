"""The alert stage. Enter: validated readings (`ot.reading.v1`), rules, IT context. Leave: transitions (`ops.alert.v1`).

Readings are judged as they come, in the order of the log; nothing is held back, so that a lone reading beyond a limit
alerts at once. Delays are event time: they pass with readings of the same source, and where nothing comes with time
itself. What began and ended in a backlog is recorded and not annunciated; what a backlog leaves standing is annunciated
once. A reading older than the last of its signal is late: where it makes a difference to what was told, the past of the
signal is read once more from the log, and alerts are corrected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from streams import topology
from streams.core.alert import tables
from streams.core.alert.book import CONDITION, Book
from streams.core.alert.chunk import judge
from streams.core.alert.clocks import Clocks
from streams.core.alert.coverage import Unknown
from streams.core.alert.late import part as late_part
from streams.core.alert.late.back import Back
from streams.core.alert.late.part import Late, newest_us
from streams.core.alert.late.tables import TOLD, told_rows
from streams.core.alert.output import records
from streams.core.alert.rule import Rule
from streams.core.alert.rule_match import Compiled, compile_rules
from streams.core.alert.silence import output as silence_output
from streams.core.alert.silence import tables as silence_tables
from streams.core.alert.silence.part import Outcome, Patience, Silence
from streams.core.alert.silence.tables import Told
from streams.core.alert.state import Transition
from streams.core.alert.walk import Walk, unannunciated
from streams.core.context import Context
from streams.core.dictionary import Memo
from streams.core.frames import COORDINATES, READING
from streams.core.label import tables as label_tables
from streams.core.label.part import HORIZON_US, Clock, Labelled, Labels
from streams.core.redundancy import selection
from streams.core.redundancy.duty import DUTY
from streams.core.redundancy.selection import Redundancy
from streams.core.stage import Change, LookBack, Moment, Result, Span, Tables, apply
from streams.core.times import DAY_US, NEVER_US, SECOND_US

DISORDER_US: Final = 1 * SECOND_US
BACKLOG_US: Final = 60 * SECOND_US
SETTLE_US: Final = 5 * SECOND_US
AHEAD_US: Final = 60 * SECOND_US

_NOTHING: Final = Outcome((), {})
_NO_READINGS: Final = pl.DataFrame(schema={**READING, **COORDINATES})


class Alert:
    """Threshold, rate-of-change, state and change rules on readings, and rules on what does not come.

    Args:
        rules: checked rules (`streams.core.alert.rule.load`).
        disorder_us: how much later than its neighbours a reading of the same source may come.
        backlog_us: older than this when it is read, a reading is one of the past.
        settle_us: after so long without more from a source, what its backlog left standing is annunciated.
        ahead_us: an event time later than the broker's time by more than this is taken as that time.
        redundancy: which readings count where several gateways deliver one signal.
        horizon_us: how far back late readings correct alerts.
        label_horizon_us: for how long after its end the context still labels an alert anew.
    """

    tables = (*tables.TABLES, *late_part.TABLES, *silence_tables.TABLES, *selection.TABLES, *label_tables.TABLES)

    def __init__(
        self,
        rules: Sequence[Rule],
        *,
        disorder_us: int = DISORDER_US,
        backlog_us: int = BACKLOG_US,
        settle_us: int = SETTLE_US,
        ahead_us: int = AHEAD_US,
        redundancy: Redundancy | None = None,
        horizon_us: int = DAY_US,
        label_horizon_us: int = HORIZON_US,
    ) -> None:
        self._rules = {rule.id: rule for rule in rules if rule.runs and rule.watch is None}
        self._disorder_us = disorder_us
        self._backlog_us = backlog_us
        self._settle_us = settle_us
        self._ahead_us = ahead_us
        self._redundancy = redundancy or Redundancy()
        self._late = Late(self._rules, horizon_us)
        self._silence = Silence(rules, Patience(disorder_us, backlog_us, settle_us))
        self._labels = Labels(label_horizon_us)
        self._compiled = Memo(lambda signals: compile_rules(list(self._rules.values()), signals))

    @property
    def topic(self) -> str:
        """What is read again (Corrector)."""
        return topology.READING.name

    def step(self, topic: str, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Result:
        """Judge the readings of one chunk. ValueError on any topic but `ot.reading.v1`."""
        if topic != topology.READING.name:
            raise ValueError(f"{topic}: alert reads {topology.READING.name} only; give other topics to their own stage")
        frame = self._stamped(frame)
        compiled = self._compiled.of(context)
        sources = tables.times(state["source"], "last_time")
        clocks = Clocks(frame, lambda source: sources.get(source, NEVER_US))
        # A gateway on standby is there, too: silence is told before one is chosen.
        silence = self._silence.step(frame, state, context, moment) if self._silence.rules else _NOTHING
        index = self._late.index(frame, state)
        chosen = self._redundancy.select(frame, state, context)
        last_us = tables.by_slot(state["signal"], compiled)
        unknown = Unknown(state["unknown"], compiled, chosen.frame, last_us)
        past_us = moment.now_us - self._backlog_us
        walk = Walk(Book(state["condition"]), compiled, unknown, clocks, past_us, self._disorder_us)
        walk.withdraw(self._rules)
        carried = tables.carried(walk.book, compiled, last_us, state["anchor"])
        judged = judge(chosen.frame, compiled, carried, past_us)
        walk.readings(judged)
        told = Change(upsert=told_rows(walk.transitions))
        noticed = self._late.step(chosen.frame, judged, walk, apply(TOLD, state[TOLD.name], told), state, moment)
        anchors = pl.concat([judged.anchors.select(noticed.anchors.columns), noticed.anchors])
        changes = {
            "signal": Change(upsert=tables.heard_of(judged, compiled)),
            "unknown": Change(upsert=unknown.upsert),
            "source": Change(upsert=tables.source_rows(clocks, state["source"], past_us, moment.now_us)),
            "anchor": Change(upsert=tables.anchor_rows(anchors, compiled)),
            "index": index,
            **noticed.changes,
            **chosen.changes,
            **silence.changes,
            TOLD.name: told,
        }
        counts = {**tables.late(judged, compiled), **noticed.counts, **chosen.counts}
        told_now = self._issued(walk.transitions, silence.told, state, context, moment, clocks.at)
        return _result(walk.book, changes, counts, told_now)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Result:
        """Delays that passed in silence, alerts of a backlog that stand, and what rules and dictionary left behind."""
        compiled = self._compiled.of(context)
        last_us = tables.by_slot(state["signal"], compiled)
        silent_us = _silent_us(state, moment)
        walk = self._present(state, compiled, moment)
        walk.withdraw(self._rules)
        walk.time(last_us)
        since = moment.caught_up_since_us
        if since is not None and moment.now_us - since >= self._settle_us:
            past_seen = tables.times(state["source"], "past_seen")
            walk.stand(
                condition
                for condition in unannunciated(walk.book.open())
                if silent_us(condition.source_id) >= self._settle_us
                # An edge may send what is new before what it kept: only once nothing more of the past comes.
                or (
                    walk.clocks.at(condition.source_id) >= walk.past_us
                    and moment.now_us - past_seen.get(condition.source_id, NEVER_US) >= self._settle_us
                )
            )
        silence = self._silence.timer(state, context, moment) if self._silence.rules else _NOTHING
        changes = {**tables.forgotten(state, compiled), **silence.changes, **self._late.timer(state)}
        changes[TOLD.name] = replace(changes[TOLD.name], upsert=told_rows(walk.transitions))
        told = self._issued(walk.transitions, silence.told, state, context, moment, walk.clocks.at)
        anew = self._labels.timer(told, state, context, moment, walk.clocks.at, newest_us(state))
        return _result(walk.book, changes, {}, anew)

    def due(self, state: Tables, moment: Moment) -> bool:
        """Whether late readings that matter have waited long enough (Corrector)."""
        return self._late.due(state, moment)

    def look_back(self, state: Tables, context: Context, log: Span, moment: Moment) -> LookBack:
        """Begin to correct what late readings change (Corrector)."""
        duty = state[DUTY.name]

        def select(frame: pl.DataFrame) -> pl.DataFrame:
            return self._redundancy.again(self._stamped(frame), duty, context)

        return self._late.look_back(state, self._compiled.of(context), log, moment, select)

    def looked(self, back: LookBack, state: Tables, context: Context, moment: Moment) -> Result:
        """Alerts that late readings correct (Corrector)."""
        if not isinstance(back, Back):
            raise TypeError(f"{type(back).__name__}: this stage did not begin the look-back")
        walk = self._present(state, self._compiled.of(context), moment)
        done = self._late.looked(back, state, walk, moment)
        done.changes[TOLD.name] = Change(upsert=told_rows(done.transitions))
        told = self._issued(done.transitions, (), state, context, moment, walk.clocks.at)
        return _result(done.book, done.changes, done.counts, told)

    def _stamped(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A stamp far ahead would make all that follows late: no reading is newer than its arrival, but for clocks."""
        arrived = pl.col("ingest_time") + self._ahead_us
        return frame.with_columns(event_time=pl.min_horizontal("event_time", arrived))

    def _present(self, state: Tables, compiled: Compiled, moment: Moment) -> Walk:
        """The conditions, with time passing where nothing comes."""
        times, silent_us = tables.times(state["source"], "last_time"), _silent_us(state, moment)
        clocks = Clocks(_NO_READINGS, lambda source: times.get(source, NEVER_US) + silent_us(source))
        unknown = Unknown(state["unknown"], compiled, _NO_READINGS, tables.by_slot(state["signal"], compiled))
        past_us = moment.now_us - self._backlog_us
        return Walk(Book(state["condition"]), compiled, unknown, clocks, past_us, self._disorder_us)

    def _issued(
        self,
        transitions: Sequence[Transition],
        silence: Sequence[Told],
        state: Tables,
        context: Context,
        moment: Moment,
        clock: Clock,
    ) -> Labelled:
        """What is told of these transitions."""
        frames = [records(transitions, self._rules, moment.now_us)] if transitions else []
        if silence:
            frames.append(silence_output.records(silence, self._silence.rules, moment.now_us))
        if not frames:
            return Labelled()
        told = self._labels.issue(pl.concat(frames), state, context, clock)
        states = Counter([one.state for one in transitions] + [one.state for one in silence])
        return replace(told, counts={("transitions", name): number for name, number in states.items()})


def _result(book: Book, changes: Mapping[str, Change], counts: Mapping[tuple[str, str], int], told: Labelled) -> Result:
    conditions = book.upsert()
    forgotten = changes.get("condition", Change()).delete
    if forgotten is not None and conditions.height:
        forgotten = forgotten.join(conditions, on=list(CONDITION.key), how="anti")
    merged = {**changes, **told.changes, "condition": Change(upsert=conditions, delete=forgotten)}
    out = {topology.ALERT.name: told.rows.sort("event_time", "alert_id", "revision")} if told.rows.height else {}
    telling = {name: change for name, change in merged.items() if _tells(change)}
    return Result(changes=telling, out=out, counts={**counts, **told.counts})


def _silent_us(state: Tables, moment: Moment) -> Callable[[str], int]:
    """How long nothing has come of a source, in us of processing time; 0 while the task is behind."""
    seen, since = tables.times(state["source"], "last_seen"), moment.caught_up_since_us

    def silent_us(source: str) -> int:
        return 0 if since is None else max(moment.now_us - max(seen.get(source, since), since), 0)

    return silent_us


def _tells(change: Change) -> bool:
    frames = (change.upsert, change.delete)
    return change.floor is not None or any(frame is not None and frame.height for frame in frames)
