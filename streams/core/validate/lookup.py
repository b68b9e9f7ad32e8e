"""Prepared lookups of `validate`: enters the signal dictionary, leaves integer indexes that answer a chunk at a time.

Texts are matched against an Enum of the known ones: an unknown text is null and leaves no trace, whereas a Categorical
would keep every text that any source ever sent. Measured on one core, 50,000 pairs, 200 and 20,000 signals: two Enum
casts and a gather 1.2 and 3.7 ms; a join on two text columns 2.5 and 4.1 ms; hashes and a join on them 1.6 and 2.0 ms,
which a comparison of the texts, 0.5 ms, has to follow, since a hash proves nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core import dictionary, zones
from streams.core.frames import ID
from streams.core.redundancy import members
from streams.core.times import FOREVER_US
from streams.core.validate import configuration

Ints: TypeAlias = npt.NDArray[np.int64]

# Up to this many (major, text) combinations a plain array answers (16 MiB), beyond it a join on one integer.
DENSE_LIMIT: Final = 4_194_304

_NO_ZONE: Final = "time_zone must be a name of the IANA list, as Europe/Berlin: the stamps are read as UTC"

NUMBER: Final = 0
COUNTER: Final = 1
LABEL: Final = 2


def codes(texts: pl.Series, known: pl.Enum) -> Ints:
    """Position of each text in `known`, -1 where it is none of them or null."""
    physical = texts.cast(known, strict=False).to_physical()
    found: Ints = physical.cast(pl.Int64).fill_null(-1).to_numpy()
    return found


class PairIndex:
    """Finds distinct pairs of (major number, text): `find` answers with the pair's position."""

    def __init__(self, majors: Ints, texts: pl.Series) -> None:
        self._texts = pl.Enum(texts.unique(maintain_order=True))
        self._width = len(self._texts.categories)
        keys = majors * self._width + codes(texts, self._texts)
        self._majors = int(majors.max(initial=-1)) + 1
        size = self._majors * self._width
        self._dense: npt.NDArray[np.int32] | None = None
        self._sparse = pl.DataFrame({"key": keys, "pair": np.arange(len(keys), dtype=np.int64)})
        if size <= DENSE_LIMIT:
            self._dense = np.full(size + 1, -1, np.int32)
            self._dense[keys] = np.arange(len(keys), dtype=np.int32)

    def find(self, majors: Ints, texts: pl.Series) -> Ints:
        """Position of each pair, -1 where it is not known; a major may be any number."""
        minors = codes(texts, self._texts)
        possible = (majors >= 0) & (majors < self._majors) & (minors >= 0)
        keys = np.where(possible, majors * self._width + minors, -1)
        if self._dense is not None:
            # -1 reads the last cell, which no pair has.
            return self._dense[keys].astype(np.int64)
        found = pl.DataFrame({"key": keys}).join(self._sparse, on="key", how="left", maintain_order="left")
        return found["pair"].fill_null(-1).to_numpy()


class Lookup:
    """The signal dictionary, prepared: which version of which signal a (source, address, event time) means.

    `rows` has one row per version: site, tenant, work_center, signal_id, source_id (Categorical), role (String), kind
    (Int8: NUMBER, COUNTER, LABEL), as_bytes (may come as UTF-8 bytes), factor, offset, exact (factor 1, offset 0),
    low, high (instrument range, infinite where open), enumerated, time_zone (String; null: UTC). `faults` counts the
    dictionary's faults by kind; a zone that nobody knows is one (`unknown_time_zone`), and read as UTC. `faulty` has
    them by kind and signal. `zoned`: some version has a zone.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        faults = [*dictionary.check(frame), *members.check(frame)]
        versions = dictionary.versions(frame)
        names, unknown = zones.fit(versions["time_zone"])
        if unknown:
            wrong = versions.filter(names.is_null() & versions["time_zone"].is_not_null())
            named = wrong.select("signal_id", "valid_from").iter_rows()
            faults += [dictionary.Fault(signal, begin, "unknown_time_zone", _NO_ZONE) for signal, begin in named]
            versions = versions.with_columns(time_zone=names)
        self.faults = Counter(fault.kind for fault in faults)
        self.faulty = configuration.faulty(faults, frame)
        self.zoned = versions["time_zone"].null_count() < versions.height
        self.rows = _rows(versions)
        self.ranged = bool((self.rows["low"].is_finite() | self.rows["high"].is_finite()).any())
        self._index_addresses(dictionary.addresses(versions).filter(~pl.col("contested")))
        self._index_labels(versions)
        self._index_places(versions)

    def _index_addresses(self, entries: pl.DataFrame) -> None:
        pairs = entries.group_by("source_id", "address", maintain_order=True).len()
        self._sources = pl.Enum(pairs["source_id"].unique(maintain_order=True))
        self._pairs = PairIndex(codes(pairs["source_id"], self._sources), pairs["address"])
        self._count: Ints = pairs["len"].cast(pl.Int64).to_numpy()
        # One entry more, of no row: what was not found (-1) reads it.
        self._start: Ints = np.append(np.cumsum(self._count) - self._count, entries.height)
        self._begin: Ints = np.append(entries["valid_from"].to_numpy(), 0)
        self._end: Ints = np.append(entries["valid_to"].to_numpy(), FOREVER_US)
        self._row: Ints = np.append(entries["row"].cast(pl.Int64).to_numpy(), -1)
        self._several = bool((self._count > 1).any())
        self._always = (int(self._begin.max()), int(self._end.min()))
        # (pair, rank of its begin) as one number: one binary search finds pair and version at once.
        self._ranks: Ints = np.unique(self._begin)
        pair_of = np.repeat(np.arange(len(self._count)), self._count)
        ranks = np.searchsorted(self._ranks, self._begin[:-1], side="right")
        self._ordered: Ints = pair_of * (len(self._ranks) + 1) + ranks

    def _index_labels(self, versions: pl.DataFrame) -> None:
        labels = versions.with_row_index("row").select("row", "enumeration").explode("enumeration")
        labels = labels.filter(pl.col("enumeration").is_not_null()).unnest("enumeration")
        labels = labels.unique(["row", "key"], keep="last", maintain_order=True)
        self._label_pairs = PairIndex(labels["row"].cast(pl.Int64).to_numpy(), labels["key"])
        self._labels = labels["value"].cast(ID)

    def _index_places(self, versions: pl.DataFrame) -> None:
        longest = versions.sort(
            "valid_to", "valid_from", "work_center", "signal_id", descending=[True, True, False, False]
        ).unique("source_id", keep="first")
        of = {source: place for source, *place in longest.select("source_id", "site", "tenant", "work_center").rows()}
        self._places = [tuple(of[source]) for source in self._sources.categories]

    def sources(self, source_ids: pl.Series) -> Ints:
        """Number of each source_id, for `find`; -1 where the dictionary has none of its signals."""
        return codes(source_ids, self._sources)

    def find(self, sources: Ints, addresses: pl.Series, times_us: Ints) -> Ints:
        """Row of the version that holds for each (number of the source, address) at its event time; -1: unknown."""
        pair = self._pairs.find(sources, addresses)
        entry = self._start[pair]
        if self._several:
            versioned = np.flatnonzero((pair >= 0) & (self._count[pair] > 1))
            ranks = np.searchsorted(self._ranks, times_us[versioned], side="right")
            wanted = pair[versioned] * (len(self._ranks) + 1) + ranks
            found = np.searchsorted(self._ordered, wanted, side="right") - 1
            # Before its first version the search ends on the pair before: then the first one's begin says no, below.
            entry[versioned] = np.maximum(found, entry[versioned])
        latest_begin, earliest_end = self._always
        if len(times_us) and times_us.min() >= latest_begin and times_us.max() < earliest_end:
            return self._row[entry]
        return np.where((times_us >= self._begin[entry]) & (times_us < self._end[entry]), self._row[entry], -1)

    def label(self, rows: Ints, texts: pl.Series) -> pl.Series:
        """Label (Categorical) that the enumeration of each row has for each raw text; null where it has none."""
        pair = pl.Series(self._label_pairs.find(rows, texts))
        return self._labels.gather(pair.set(pair < 0, None))

    def zones(self, sources: Ints, addresses: pl.Series, times_us: Ints) -> pl.Series:
        """Time zone of each (number of the source, address) at its time; null: UTC, or unknown."""
        rows = pl.Series(self.find(sources, addresses, times_us))
        return self.rows["time_zone"].gather(rows.set(rows < 0, None))

    def place(self, source: int) -> tuple[str | None, str | None, str]:
        """Site, tenant and line of the source with this number: of its signals, the one that holds longest."""
        return self._places[source]

    def take(self, rows: Ints, *columns: str) -> pl.DataFrame:
        """These columns of `rows` at these places."""
        return self.rows.select(columns)[pl.Series(rows, dtype=pl.UInt32)]


def _rows(versions: pl.DataFrame) -> pl.DataFrame:
    """Columns of `Lookup.rows`."""
    role = pl.col("role")
    kind = (
        pl.when(role.is_in(dictionary.NUMBERS)).then(NUMBER).when(role.is_in(dictionary.COUNTERS)).then(COUNTER)
    ).otherwise(LABEL)
    return versions.select(
        pl.col("site", "tenant", "work_center", "signal_id", "source_id").cast(ID),
        "role",
        kind.cast(pl.Int8).alias("kind"),
        role.is_in(dictionary.TEXTS).alias("as_bytes"),
        "factor",
        "offset",
        ((pl.col("factor") == 1) & (pl.col("offset") == 0)).alias("exact"),
        pl.col("instrument_low").fill_null(float("-inf")).alias("low"),
        pl.col("instrument_high").fill_null(float("inf")).alias("high"),
        (pl.col("enumeration").list.len().fill_null(0) > 0).alias("enumerated"),
        "time_zone",
    )
