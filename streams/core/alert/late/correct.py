"""One pair's correction. Enter: its past, what was told of it. Leave: revisions of alerts, the condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from streams.core.alert.late.match import match
from streams.core.alert.late.reach import Reach, cleared
from streams.core.alert.late.replay import Excursion, Past, Replay
from streams.core.alert.late.sentence import LATE, MERGED, RETRACTED, STANDS
from streams.core.alert.late.tables import Told
from streams.core.alert.state import ACTIVE, CLEARING, NORMAL, PENDING, Condition, Transition, Was
from streams.core.times import FOREVER_US


@dataclass
class Correction:
    """What is told of one pair: `transitions` in order; `alerts` are its excursions, as told now.

    `stands`: whether the last of them holds at present.
    """

    reach: Reach
    past: Past
    first_offset: int
    past_us: int
    transitions: list[Transition] = field(default_factory=list)
    alerts: list[Condition] = field(default_factory=list)
    stands: bool = False

    def tell(self, replay: Replay, told: Sequence[Told]) -> bool:
        """Compare what should have been told with what was; False where that cannot be decided yet."""
        excursions = self._joined(replay, told)
        final, start = replay.condition, self.reach.start
        of_start = None if start is None else start.alert_id
        inside = [
            one for one in told
            if one.state != RETRACTED and one.begin_time < self.reach.to_us
            and (one.begin_time >= self.reach.from_us or one.alert_id == of_start)
        ]  # fmt: skip
        pending = final.begin_time if final.phase == PENDING and self.reach.to_us == FOREVER_US else None
        matched = match(excursions, pending, inside)
        if matched.undecided:
            return False
        self.stands = self.reach.to_us == FOREVER_US and final.phase == ACTIVE
        taken = {one.alert_id: one for one in told}
        for place, excursion in enumerate(excursions):
            part = matched.parts.get(place)
            self._excursion(excursion, matched.of.get(place), taken, None if part is None else part.alert_id)
        for one, place in matched.merged:
            self._withdraw(one, MERGED, self.alerts[place].alert_id)
        for one in matched.never:
            self._withdraw(one, RETRACTED, None)
        return True

    def _joined(self, replay: Replay, told: Sequence[Told]) -> list[Excursion]:
        """The excursions; one across the end of the reach ends as the alert that was told there."""
        found = list(replay.excursions)
        if self.reach.to_us < FOREVER_US and replay.condition.phase == ACTIVE:
            off_us = self.reach.rule.condition.delays_us[1]
            across = next(one for one in reversed(told) if one.state != RETRACTED and one.begin_time < self.reach.to_us)
            if across.end_time < FOREVER_US:
                found[-1] = replace(found[-1], end=across.end_time, cleared=cleared(across, off_us))
        return found

    def _excursion(self, excursion: Excursion, was: Told | None, taken: dict[str, Told], cause: str | None) -> None:
        condition = self.subject(excursion.begin, was, taken)
        condition.begin_time, condition.active_time = excursion.begin, excursion.active
        condition.end_time = excursion.end
        self.alerts.append(condition)
        end = FOREVER_US if excursion.end is None else excursion.end
        if was is None:
            self._new(condition, excursion, taken.get(condition.alert_id), cause)
            return
        condition.annunciated = was.annunciated
        other = self.reach.of_change and condition.limit != was.limit
        if other or (excursion.begin, excursion.active, end) != (was.begin_time, was.active_time, was.end_time):
            if end == FOREVER_US > was.end_time:
                condition.annunciated = self.stands and not self._behind()
            self._revise(condition, excursion, LATE, was)
        elif self.past.came_late(
            max(excursion.begin, self.reach.from_us), end, self.first_offset, self.past_us if end == FOREVER_US else end
        ):
            self._revise(condition, excursion, STANDS, was)

    def subject(self, begin: int, was: Told | None, taken: dict[str, Told]) -> Condition:
        """A condition with the id of the alert that was told, or with one of its own."""
        rule, (rule_id, signal_id) = self.reach.rule, self.reach.key
        alert_id = f"{rule_id}|{signal_id}|{begin}"
        number = 1
        while was is None and alert_id in taken and taken[alert_id].state != RETRACTED:
            number += 1
            alert_id = f"{rule_id}|{signal_id}|{begin}|{number}"
        known, start = was or taken.get(alert_id), self.reach.start
        revision = 0 if known is None else known.revision
        if known is None and start is not None and start.begin_time == begin:
            known = start  # its first part, which was not read again
        place = self.past.row(begin, inclusive=True) or {}
        names = ("site", "tenant", "work_center", "source_id")
        where = [getattr(known, name) if known else place.get(name) for name in names]
        site, tenant, line, source = where
        condition = Condition(
            rule_id, signal_id, rule.version, rule.condition.fingerprint, rule.kind, rule.priority,
            site or "", tenant, line or "", source or "",
        )  # fmt: skip
        condition.alert_id = alert_id if was is None else was.alert_id
        condition.revision = revision
        # What a change was measured from is another, where a late reading lies before it.
        same = known is not None and known.begin_time == begin and not self.reach.of_change
        condition.limit = known.limit if known is not None and same else self.past.limit(begin)
        seen = self.past.reading(begin, inclusive=True)
        condition.begin_evidence = "" if seen is None else seen.evidence
        return condition

    def _new(self, condition: Condition, excursion: Excursion, before: Told | None, cause: str | None) -> None:
        condition.annunciated = excursion.end is None and self.stands and not self._behind()
        condition.end_time = None
        self._revise(condition, replace(excursion, end=None, cleared=None), LATE, before, cause)
        if excursion.end is not None:
            condition.end_time = excursion.end
            self._revise(condition, excursion, LATE, None, cause)

    def _revise(self, condition: Condition, excursion: Excursion, reason: str, was: Told | None,
                cause: str | None = None) -> None:  # fmt: skip
        on_us, off_us = self.reach.rule.condition.delays_us
        over = excursion.end is not None
        at, delay_us = (excursion.active, on_us) if excursion.cleared is None else (excursion.cleared, off_us)
        condition.revision += 1
        before = None if was is None else _was(was)
        known = max(excursion.begin, self.reach.from_us)
        self.transitions.append(
            Transition(
                replace(condition),
                "cleared" if over else "active",
                excursion.why if over and excursion.why in {"signal_removed", "moved"} else reason,
                at,
                # What closed an alert beyond the end of the reach was not read again.
                reading=self.past.reading(at, inclusive=delay_us == 0) if at < self.reach.to_us else None,
                coverage=self.past.coverage(known, at),
                was=before,
                cause=cause,
            )
        )

    def _withdraw(self, one: Told, reason: str, cause: str | None) -> None:
        condition = self.subject(one.begin_time, one, {})
        condition.begin_time, condition.active_time = one.begin_time, one.active_time
        condition.end_time = None if one.end_time == FOREVER_US else one.end_time
        condition.annunciated, condition.begin_evidence = one.annunciated, ""
        condition.revision = one.revision + 1
        at = one.active_time if condition.end_time is None else max(one.end_time, one.active_time)
        self.transitions.append(Transition(condition, RETRACTED, reason, at, was=_was(one), cause=cause))

    def _behind(self) -> bool:
        """Whether the last reading is one of the past: then it is not known yet whether anything stands."""
        row = self.past.row(FOREVER_US, inclusive=True)
        return row is None or bool(row["behind"])


def in_line(correction: Correction, replay: Replay, live: Condition | None, told: Sequence[Told]) -> Condition | None:
    """The live condition after a correction; None where it is as it should be."""
    final, reach = replay.condition, correction.reach
    last = correction.alerts[-1] if correction.alerts else None
    if reach.to_us == FOREVER_US:
        return _present(correction, replay, live, told)
    if live is None:
        return None
    revised = {one.condition.alert_id: one.condition for one in correction.transitions}
    if live.phase in {ACTIVE, CLEARING} and final.phase == ACTIVE and last is not None and last.end_time is None:
        for name in ("alert_id", "revision", "annunciated", "begin_time", "active_time", "limit", "begin_evidence"):
            setattr(live, name, getattr(last, name))
        return live
    if live.alert_id in revised:
        live.revision = revised[live.alert_id].revision
        return live
    return None


def _present(correction: Correction, replay: Replay, live: Condition | None, told: Sequence[Told]) -> Condition | None:
    final, past = replay.condition, correction.past
    if final.phase == PENDING:
        subject = correction.subject(final.begin_time, None, {one.alert_id: one for one in told})
    elif final.phase != NORMAL:
        subject = replace(correction.alerts[-1])
    else:
        # Its id may come again, if the condition begins once more at the same instant: the latest is kept.
        ended = [*correction.alerts, *(one.condition for one in correction.transitions)]
        if live is not None and (live.phase != NORMAL or not ended):
            ended.append(live)
        latest = max(ended, key=lambda one: (one.begin_time, one.revision), default=None)
        if latest is None or (live is not None and live.phase == NORMAL and live.begin_time > latest.begin_time):
            return None
        subject = replace(latest)
    subject.phase, subject.due = final.phase, final.due
    if final.phase != NORMAL:
        subject.begin_time, subject.active_time = final.begin_time, final.active_time
        subject.end_time = final.end_time
    row = past.row(FOREVER_US, inclusive=True)
    subject.behind = bool(row["behind"]) if row is not None else subject.behind
    subject.last = past.reading(FOREVER_US, inclusive=True) if final.phase != NORMAL else None
    return subject


def _was(told: Told) -> Was:
    return Was(told.state, told.begin_time, None if told.end_time == FOREVER_US else told.end_time)
