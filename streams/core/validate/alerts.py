"""Alerts that `validate` tells itself, labelled. Enter: results with bare rows. Leave: results with `ops.alert.v1`.

Labels are those of every alert (`core.label`): told with the fact, and told anew where the context changes. A chunk
that tells no alert, as nearly all do, pays nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from streams import topology
from streams.core.context import Context
from streams.core.label.part import Clock, Labelled, Labels
from streams.core.stage import Moment, Result, Tables
from streams.core.times import NEVER_US, SECOND_US

# After a change of work orders a comparison takes half a second for a million versions of them: readings wait for it.
PAUSE_US: Final = 10 * SECOND_US


class Alerts:
    """The labels of the alerts of this stage; its tables are those of `core.label`."""

    def __init__(self) -> None:
        self._labels = Labels(pause_us=PAUSE_US)

    def issued(self, result: Result, state: Tables, context: Context, moment: Moment) -> Result:
        """`result` with its alerts labelled."""
        if topology.ALERT.name not in result.out:
            return result
        return _with(result, self._told(result, state, context, moment))

    def timer(self, result: Result, state: Tables, context: Context, moment: Moment) -> Result:
        """`result` with its alerts labelled, and with what the context says otherwise by now."""
        told = self._told(result, state, context, moment) if topology.ALERT.name in result.out else Labelled()
        return _with(result, self._labels.timer(told, state, context, moment, _clock(moment), moment.now_us))

    def _told(self, result: Result, state: Tables, context: Context, moment: Moment) -> Labelled:
        return self._labels.issue(result.out[topology.ALERT.name], state, context, _clock(moment))


def _with(result: Result, told: Labelled) -> Result:
    out = {name: frame for name, frame in result.out.items() if name != topology.ALERT.name}
    if told.rows.height:
        out[topology.ALERT.name] = told.rows
    return replace(result, changes={**result.changes, **told.changes}, out=out, counts={**result.counts, **told.counts})


def _clock(moment: Moment) -> Clock:
    """Up to when an alert stands that has not ended: now, once all is read. A wrong clock says nothing of time."""
    now_us = NEVER_US if moment.caught_up_since_us is None else moment.now_us
    return lambda _source: now_us
