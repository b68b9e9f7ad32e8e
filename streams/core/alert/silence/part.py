"""Silence told apart, as a part of the alert stage. Enter: readings and time. Leave: transitions, table changes.

Event time decides on signals (how long a source was there without them), the broker's time on nodes and zones (how long
nothing came). A cause swallows its consequences: a zone those of its nodes, a bad sensor that nothing more comes of it.
That a node is offline makes none of its signals missing or frozen: their time does not pass meanwhile.
"""

from __future__ import annotations

from collections import abc
from dataclasses import dataclass

import numpy as np
import polars as pl

from streams import topology
from streams.core.alert.rule import Rule
from streams.core.alert.silence import frozen, nodes, signals
from streams.core.alert.silence.match import Watched, compile_watch
from streams.core.alert.silence.segments import patience as patience_of
from streams.core.alert.silence.sequence import Carried, Heard, Sequence, heard_of, sequence
from streams.core.alert.silence.slots import lasts
from streams.core.alert.silence.tables import NODE, SIGNAL, SOURCE, STANDING, STATE, Ledger, Told
from streams.core.alert.silence.watch import SEGMENT_DOWN, SOURCE_OFFLINE
from streams.core.context import Context
from streams.core.stage import Change, Moment, Tables
from streams.core.times import NEVER_US


@dataclass(frozen=True)
class Patience:
    """Spans in us: `disorder` of the readings of a source, `backlog` older than which they are of the past, `settle`
    after which everything has been read.
    """

    disorder_us: int
    backlog_us: int
    settle_us: int


@dataclass(frozen=True)
class Outcome:
    """What a step leaves: transitions in the order in which they were found, changes by table."""

    told: abc.Sequence[Told]
    changes: dict[str, Change]


class Silence:
    """The rules on silence, on the readings of one task."""

    def __init__(self, rules: abc.Sequence[Rule], patience: Patience) -> None:
        self.rules = {rule.id: rule for rule in rules if rule.runs and rule.watch is not None}
        self._patience = patience
        self._memo: tuple[pl.DataFrame, pl.DataFrame, Watched] | None = None

    def step(self, frame: pl.DataFrame, state: Tables, context: Context, moment: Moment) -> Outcome:
        """The readings of one chunk."""
        watched, ledger = self._watched(context), Ledger(state[STANDING.name])
        past_us = moment.now_us - self._patience.backlog_us
        self._withdraw(ledger, watched, state)
        found = sequence(frame, state[SOURCE.name], watched, moment.now_us)
        heard_nodes = nodes.came(found, state[NODE.name], watched, ledger)
        heard, carried = heard_of(found, watched, state[SIGNAL.name])
        runs = signals.runs_of(found, heard, carried)
        signals.over(found, heard, carried, runs, watched, ledger, self._patience.disorder_us)
        labels, states = frozen.labels(found, watched, state[STATE.name])
        moves = frozen.moves(found, heard, runs.bad, carried, watched, labels)
        frozen.tell(found, moves, watched, ledger, past_us)
        rows = _signal_rows(found, heard, runs, moves, carried, watched)
        changes = {
            SOURCE.name: Change(upsert=found.sources),
            NODE.name: Change(upsert=heard_nodes),
            SIGNAL.name: Change(upsert=rows),
            STATE.name: Change(upsert=states),
            STANDING.name: ledger.change(),
        }
        return Outcome(ledger.told, changes)

    def timer(self, state: Tables, context: Context, moment: Moment) -> Outcome:
        """What stands by now, and what is annunciated after a backlog, or after its cause is over."""
        watched, ledger, patience = self._watched(context), Ledger(state[STANDING.name]), self._patience
        past_us, since = moment.now_us - patience.backlog_us, moment.caught_up_since_us
        settled = since is not None and moment.now_us - since >= patience.settle_us
        sources = state[SOURCE.name]
        known = nodes.book(state[NODE.name])
        clock_us = nodes.clock(known, sources, moment)
        self._withdraw(ledger, watched, state)
        nodes.silent(known, watched, ledger, clock_us, present=settled or clock_us >= past_us)
        signals.stand(state[SIGNAL.name], sources, watched, ledger, past_us, patience.disorder_us, settled=settled)
        clocks = _clocks(sources)
        for standing in list(ledger.open.values()):
            node = standing.type in {SOURCE_OFFLINE, SEGMENT_DOWN}
            at_us = clock_us if node else clocks.get(standing.source_id or "", NEVER_US)
            if standing.cause is not None and standing.released_time is not None:
                own = watched.nodes.get((standing.source_id or "", standing.work_center)) if node else None
                if own is None or clock_us - standing.released_time > patience_of(own, watched):
                    ledger.released(standing, at_us)
            elif not standing.annunciated and standing.cause is None and (settled or at_us >= past_us):
                ledger.still(standing, at_us)
        return Outcome(ledger.told, {STANDING.name: ledger.change()} | _forgotten(state, watched))

    def _watched(self, context: Context) -> Watched:
        entries, assets = context.frame(topology.SIGNAL.name), context.frame(topology.ASSET.name)
        if self._memo is None or self._memo[0] is not entries or self._memo[1] is not assets:
            self._memo = (entries, assets, compile_watch(list(self.rules.values()), entries, assets))
        return self._memo[2]

    def _withdraw(self, ledger: Ledger, watched: Watched, state: Tables) -> None:
        """Close what is watched no longer: the rule is gone or another, or the signal, node or zone is."""
        clocks = _clocks(state[SOURCE.name]) if ledger.open else {}
        for standing in list(ledger.open.values()):
            rule, at_us = self.rules.get(standing.rule_id), clocks.get(standing.source_id or "", NEVER_US)
            if rule is None:
                ledger.cleared(standing, "rule_removed", at_us)
            elif rule.watch is None or rule.watch.fingerprint != standing.watch:
                ledger.cleared(standing, "rule_changed", at_us)
            elif watched.slots and not watched.watches(standing, at_us):
                ledger.cleared(standing, "signal_removed", at_us)
            elif (moved_us := watched.moved(standing)) is not None and moved_us <= at_us:
                ledger.cleared(standing, "moved", max(moved_us, standing.begin_time))


def _signal_rows(
    found: Sequence, heard: Heard, runs: signals.Runs, moves: frozen.Moves, carried: Carried, watched: Watched
) -> pl.DataFrame:
    """Rows of the table of signals for those that were heard: the last reading, and the last that could be judged."""
    last, moved = heard.last(), lasts(moves.starts, len(moves.slot))
    slot, place = heard.slot[last], heard.place[last]
    columns = {"last_time": heard.time[last], "active_us": heard.active[last]}
    for name in signals.RUN:
        columns[name] = np.full(len(carried.slots), NEVER_US)
        columns[name][heard.slot[runs.at[runs.last]]] = runs.after[name][runs.last]
        columns[name] = columns[name][slot]
    columns |= {name: moves.after[name][slot] for name in frozen.COLUMNS}
    value = carried.value.copy()
    value[moves.slot[moved]] = moves.value[moved]
    columns["offset"] = found.offset[heard.row[last]]
    taken = found.frame.select("source_id", "work_center", partition="_partition")[place]
    rows = pl.DataFrame(
        {"signal_id": watched.signals["signal_id"].gather(carried.slots[slot]), "value": value[slot], **columns}
    )
    told = pl.when(pl.col(*columns) != NEVER_US).then(pl.col(*columns))
    rows = rows.select("signal_id", *taken, pl.col("value").fill_nan(None), told)
    return rows.select(SIGNAL.schema.names()).cast({"judged": pl.Boolean})


def _forgotten(state: Tables, watched: Watched) -> dict[str, Change]:
    """Deletes rows of signals and nodes that nobody watches any longer; nothing while there is no dictionary at all."""
    if not watched.slots:
        return {}
    keep = {
        SIGNAL.name: watched.signals.select("signal_id"),
        NODE.name: watched.limits.select("source_id", "work_center"),
        STATE.name: watched.signals.select(signal_id="state_signal").drop_nulls().unique(),
    }
    gone = {
        name: state[name].join(rows, on=rows.columns, how="anti").select(rows.columns) for name, rows in keep.items()
    }
    return {name: Change(delete=rows) for name, rows in gone.items() if rows.height}


def _clocks(sources: pl.DataFrame) -> dict[str, int]:
    return dict(sources.select(pl.col("source_id").cast(pl.String), "clock_time").iter_rows())
