"""The signal dictionary as `window` needs it. Enters: `it.signal.v1`. Leaves: arrays by version, found by signal code.

A code is the physical value of a Categorical `signal_id`: equal ids have equal codes in every frame of a process, so a
look-up is an array access. Version 0 stands for signals that the dictionary does not know: they are windowed with the
defaults and never lost. What `core.dictionary` finds faulty is set aside here as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core.dictionary import COUNTERS, LABELS
from streams.core.dictionary import versions as versions_of
from streams.core.frames import ID
from streams.core.times import FOREVER_US, NEVER_US, SECOND_US

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
# Closed windows by length in us: begin of the first and end of the last, in us.
Spans = Mapping[int, tuple[int, int]]

TEXTS: Final = pl.Schema(
    {
        "signal_id": ID,
        "site": pl.String(),
        "tenant": pl.String(),
        "work_center": pl.String(),
        "work_unit": pl.String(),
        "unit": pl.String(),
        "role": pl.String(),
    }
)
VERSION: Final = pl.Schema(
    {
        **TEXTS,
        "valid_from": pl.Int64(),
        "reporting": pl.String(),
        "period_ms": pl.Int64(),
        "factor": pl.Float64(),
        "offset": pl.Float64(),
        "rollover": pl.Int64(),
        "window_lengths_s": pl.List(pl.Int32()),
    }
)
# Versions of a signal that differ in one of these tell values that must not be mixed.
SCALING: Final = ("unit", "factor", "offset")


@dataclass(frozen=True)
class Defaults:
    """What holds where the dictionary is silent: lengths in s, holding times in us."""

    lengths_s: tuple[int, ...] = (10, 60)
    hold_periods: float = 2.5
    hold_unknown_us: int = 60 * SECOND_US
    carry_limit_us: int = 86_400 * SECOND_US


def codes(series: pl.Series) -> Ints:
    """Physical codes of a Categorical column without nulls."""
    return series.to_physical().to_numpy().astype(np.int64)


@dataclass(frozen=True)
class Scaling:
    """Runs of versions with equal unit and scaling; all fields but `changes` by version.

    `number` is the run's own, `since` and `until` (us) are its ends, open at a signal's first and last version;
    `changes` whether any signal has several. Labels have no unit: a discrete signal has one run.
    """

    number: Ints
    since: Ints
    until: Ints
    changes: bool


@dataclass(frozen=True)
class Signals:
    """Versions of all signals, sorted by (signal, valid_from); `first` and `versions` find them by code.

    `hold_us` is how long a value stands without a successor, `lengths` all window lengths in us (ascending), `has` by
    length which version has it, `any_has` the same by code over all versions, `any_tracked` by code whether any version
    is discrete or a counter. `modulus` is what a counter's rollover takes off the published value (NaN: it has none),
    `whole_modulus` the same as an exact integer where the published value is the register's (else 0).
    """

    texts: pl.DataFrame
    valid_from: Ints
    hold_us: Ints
    on_change: Bools
    discrete: Bools
    lengths: tuple[int, ...]
    has: Mapping[int, Bools]
    first: Ints
    versions: Ints
    any_has: Mapping[int, Bools]
    counter: Bools
    modulus: Floats
    whole_modulus: Ints
    any_tracked: Bools
    scaling: Scaling

    def entry(self, code: Ints, time: Ints) -> Ints:
        """Version of each signal as of event time; before the first version, the first; 0 where unknown."""
        at = np.minimum(code, self.first.size - 1)
        first = self.first[at]
        found = first.copy()
        count = self.versions[at]
        for step in range(1, int(self.versions.max(initial=1))):
            later = first + step
            found = np.where((step < count) & (self.valid_from[later % self.valid_from.size] <= time), later, found)
        return found

    def having(self, code: Ints, length: int) -> Bools | None:
        """Which of these signals have windows of `length` us in any version; None: all signals have."""
        has = self.any_has[length]
        return None if has.all() else has[np.minimum(code, has.size - 1)]

    def tracked(self, code: Ints) -> Bools:
        """Which of these signals are counters or discrete: what they say depends on the reading before."""
        found: Bools = self.any_tracked[np.minimum(code, self.any_tracked.size - 1)]
        return found

    def spans(self, begin_us: int, end_us: int) -> Spans:
        """Windows by length, from the one that holds `begin_us` to the last that ends by `end_us`."""
        spans = {length: (begin_us // length * length, end_us // length * length) for length in self.lengths}
        return {length: span for length, span in spans.items() if span[0] < span[1]}

    def expires(self, code: Ints, time: Ints) -> Ints:
        """Latest end (us) of a window that holds the instant: a reading is needed until this passes the horizon."""
        return self._most(
            np.maximum, code, time + 1, {length: (time // length + 1) * length for length in self.lengths}
        )

    def first_end(self, code: Ints, time: Ints) -> Ints:
        """Earliest end (us) of a window that holds the instant."""
        never = np.full(time.size, FOREVER_US)
        return self._most(np.minimum, code, never, {length: (time // length + 1) * length for length in self.lengths})

    def opens(self, code: Ints, time: Ints) -> Ints:
        """Earliest begin (us) of a window that holds the instant."""
        return self._most(np.minimum, code, time, {length: time // length * length for length in self.lengths})

    def settled(self, code: Ints, watermark_us: int) -> Ints:
        """Event time (us) before which a signal's shortest window is closed at this watermark."""
        ends = {length: np.int64(watermark_us // length * length) for length in self.lengths}
        return self._most(np.maximum, code, np.full(code.size, np.iinfo(np.int64).min), ends)

    def _most(self, fold: np.ufunc, code: Ints, value: Ints, of: Mapping[int, Ints | np.int64]) -> Ints:
        """Fold into `value` what there is `of` each length, where the signal has windows of it."""
        for length, own in of.items():
            has = self.having(code, length)
            value = fold(value, own if has is None else np.where(has, own, value))
        return value

    @property
    def longest_hold_us(self) -> int:
        """Longest time a periodic signal's value stands without a successor."""
        return int(self.hold_us[~self.on_change].max(initial=0))


def prepare(dictionary: pl.DataFrame, defaults: Defaults) -> Signals:
    """The dictionary (`it.signal.v1`, all versions) as arrays; row 0 holds the defaults."""
    unknown = {"role": "measurement", "reporting": "periodic", "valid_from": 0, "window_lengths_s": []}
    rows = versions_of(dictionary).select(pl.col(name).cast(dtype) for name, dtype in VERSION.items())
    rows = pl.concat([pl.DataFrame([unknown], schema=VERSION), rows])
    on_change = (rows["reporting"] == "on_change").fill_null(value=False).to_numpy()
    hold = (pl.col("period_ms") * 1000 * defaults.hold_periods).cast(pl.Int64)
    periodic = rows.select(hold.fill_null(defaults.hold_unknown_us)).to_series().to_numpy()
    lengths = [tuple(own or defaults.lengths_s) for own in rows["window_lengths_s"].to_list()]
    distinct = sorted({length * SECOND_US for own in lengths for length in own})
    has = {length: np.array([length // SECOND_US in own for own in lengths]) for length in distinct}
    code = codes(rows["signal_id"][1:]) if rows.height > 1 else np.zeros(0, np.int64)
    first, versions = _places(code)
    any_has = {length: _by_code(own, code, first) for length, own in has.items()}
    discrete, counter = (rows["role"].is_in(roles).to_numpy() for roles in (LABELS, COUNTERS))
    modulus, whole_modulus = _moduli(rows)
    return Signals(
        texts=rows.select(TEXTS.names()),
        valid_from=rows["valid_from"].to_numpy(),
        hold_us=np.where(on_change, defaults.carry_limit_us, periodic),
        on_change=on_change,
        discrete=discrete,
        lengths=tuple(distinct),
        has=has,
        first=first,
        versions=versions,
        any_has=any_has,
        counter=counter,
        modulus=modulus,
        whole_modulus=whole_modulus,
        any_tracked=_by_code(discrete | counter, code, first),
        scaling=_scaling(rows, np.append(-1, code)),
    )


def _places(code: Ints) -> tuple[Ints, Ints]:
    """`first` and `versions` by code, from the codes of versions 1 on; one code more, which no signal has."""
    size = int(code.max(initial=-1)) + 2
    first, versions = np.zeros(size, np.int64), np.ones(size, np.int64)
    first[code[::-1]] = np.arange(code.size, 0, -1)
    versions[: size - 1] = np.maximum(np.bincount(code, minlength=size - 1), 1)
    return first, versions


def _by_code(has: Bools, code: Ints, first: Ints) -> Bools:
    """Whether any version of a signal has it; signals without a version as version 0."""
    found = np.where(first == 0, has[0], False)
    np.logical_or.at(found, code, has[1:])
    return found


def _moduli(rows: pl.DataFrame) -> tuple[Floats, Ints]:
    """`modulus` and `whole_modulus`: the register itself runs 0..rollover, published is that times the factor."""
    register = pl.col("rollover") + 1
    whole = pl.when((pl.col("factor") == 1) & (pl.col("offset") == 0)).then(register).fill_null(0)
    told = rows.select((register * pl.col("factor")).fill_null(np.nan).alias("modulus"), whole.alias("whole"))
    return told["modulus"].to_numpy(), told["whole"].to_numpy()


def _scaling(rows: pl.DataFrame, owner: Ints) -> Scaling:
    """Runs of equal SCALING; `owner` is the signal's code by version."""
    told = rows.select(pl.when(~pl.col("role").is_in(LABELS)).then(pl.col(SCALING)))
    alike = told.select(pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in SCALING))
    begins = np.append(True, ~alike.to_series().to_numpy()[1:] | (owner[1:] != owner[:-1]))
    number, starts = np.cumsum(begins) - 1, np.flatnonzero(begins)
    since = rows["valid_from"].to_numpy()[starts]
    follows = owner[starts[1:]] == owner[starts[:-1]]
    return Scaling(
        number=number,
        since=np.where(np.append(False, follows), since, NEVER_US)[number],
        until=np.where(np.append(follows, False), np.append(since[1:], 0), FOREVER_US)[number],
        changes=bool(follows.any()),
    )
