"""All versions of the entities of one topic. Enters: decoded rows and tombstones. Leaves: one frame, and what is odd.

A version is (record key, valid_from); the record that was read last holds, a tombstone removes all versions of its key,
a record that says what is known already changes nothing. Rows are kept in pieces: a change copies the pieces that hold
the rows it replaces, and the last one; no Python loop passes over rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from streams.kafka.context.decode import GONE, HIDDEN, Decoded

PIECE_ROWS: Final = 65_536  # a million rows are 16 pieces
# What is staged is worked in from this many rows on, and from an eighth of what there is: the rows of a load are passed
# over a few dozen times at most, and twice as much memory is never needed.
ABSORB_ROWS: Final = 65_536
ABSORB_SHARE: Final = 8
# Two records of one version that were written this close to each other are of one load; later ones are corrections.
LOAD_US: Final = 60_000_000
NAMED: Final = 10

_KEPT: Final = tuple(name for name in HIDDEN if name != "_order")
_FOLLOWS: Final = pl.col("_key") == pl.col("_key").shift(1)
_FOLLOWED: Final = pl.col("_key") == pl.col("_key").shift(-1)


@dataclass(frozen=True)
class Oddity:
    """What contradicts itself: "contradiction" or "overlap", how often, and the first (key, valid_from) of it."""

    kind: str
    count: int
    first: tuple[tuple[str, int], ...]


class Versions:
    """The versions of one topic. `frame` (the contract's columns) is the same object until a version changes."""

    def __init__(self, columns: pl.Schema) -> None:
        self._columns: Final = columns.names()
        self._versioned: Final = "valid_from" in columns
        self._identity: Final = ["_key", "valid_from"] if self._versioned else ["_key"]
        self._slim: Final = [*self._identity, *(["valid_to"] if self._versioned else []), "_time", "_digest"]
        kept = {name: HIDDEN[name] for name in _KEPT}
        self._pieces: list[pl.DataFrame] = [pl.DataFrame(schema=pl.Schema({**columns, **kept}))]
        self._rows: list[pl.DataFrame] = [pl.DataFrame(schema=pl.Schema({**columns, **HIDDEN}))]
        self._gone: list[pl.DataFrame] = [GONE.to_frame()]
        self._staged, self._moved = 0, False
        self.frame = self._pieces[0].select(self._columns)
        self.taken = 0

    @property
    def height(self) -> int:
        """Number of versions, without what is staged."""
        return sum(piece.height for piece in self._pieces)

    def stage(self, decoded: Decoded, count: int) -> bool:
        """Take what `count` records decoded to; True where so much waits that it is to be absorbed."""
        self.taken += count
        self._rows.append(decoded.rows)
        self._gone.append(decoded.gone)
        self._staged += decoded.rows.height + decoded.gone.height
        return self._staged >= max(ABSORB_ROWS, self.height // ABSORB_SHARE)

    def absorb(self) -> list[Oddity]:
        """Work in what is staged; `frame` has it once `show` was called."""
        if not self._staged:
            return []
        new, gone = pl.concat(self._rows), pl.concat(self._gone)
        self._rows, self._gone, self._staged = [new.clear()], [gone.clear()], 0
        last = gone.group_by("_key").agg(pl.col("_order").max().alias("_gone"))
        if last.height:
            new = new.join(last, on="_key", how="left", maintain_order="left")
            new = new.filter(pl.col("_gone").is_null() | (pl.col("_order") > pl.col("_gone"))).drop("_gone")
        kin = self._kin(pl.concat([new["_key"], last["_key"]]).unique())
        standing = kin.join(last, on="_key", how="anti")
        odd = self._contradictions(standing, new)
        new = new.unique(self._identity, keep="last", maintain_order=True)
        new = new.join(standing, on=[*self._identity, "_digest"], how="anti", maintain_order="left")
        removed = kin.join(last, on="_key", how="semi")
        replaced = standing.join(new, on=self._identity, how="semi")
        odd += self._overlaps(standing.join(new, on=self._identity, how="anti"), new)
        self._remove(pl.concat([removed, replaced]))
        self._append(new.select(self._pieces[0].columns))
        return odd

    def let_go(self, before_us: int) -> int:
        """Remove versions that ended, and were written, before `before_us`; how many. The newest of a key stays.

        Written, too: what was loaded lately about times long past was loaded to be used.
        """
        if not self._versioned:
            return 0
        written = pl.col("_time") < before_us
        keys = pl.concat([piece.filter(written)["_key"] for piece in self._pieces]).unique()
        kin = self._kin(keys).sort(self._identity)
        end = pl.min_horizontal("valid_to", pl.col("valid_from").shift(-1))
        ended = kin.filter(_FOLLOWED & (end < before_us) & written)
        self._remove(ended)
        return ended.height

    def show(self) -> bool:
        """Let `frame` have what was absorbed; whether that differs from what it had."""
        moved, self._moved = self._moved, False
        if moved:
            self.frame = pl.concat([piece.select(self._columns) for piece in self._pieces], rechunk=False)
        return moved

    def _kin(self, keys: pl.Series) -> pl.DataFrame:
        """Where the versions of these keys are (`_piece`, `_row`), and what decides about them."""
        wanted = keys.to_frame()
        return pl.concat(
            piece.select(self._slim)
            .with_row_index("_row")
            .join(wanted, on="_key", how="semi", maintain_order="left")
            .with_columns(_piece=pl.lit(number, pl.UInt32))
            for number, piece in enumerate(self._pieces)
        )

    def _contradictions(self, standing: pl.DataFrame, new: pl.DataFrame) -> list[Oddity]:
        """Versions that records of one load tell differently."""
        if not self._versioned:
            return []
        names = [*self._identity, "_time", "_digest"]
        told = pl.concat([standing.select(names), new.select(names)]).with_row_index("_place")
        told = told.sort(*self._identity, "_place")
        again = _FOLLOWS & (pl.col("valid_from") == pl.col("valid_from").shift(1))
        differs = pl.col("_digest") != pl.col("_digest").shift(1)
        return _oddity("contradiction", told.filter(again & differs & (pl.col("_time").diff().abs() <= LOAD_US)))

    def _overlaps(self, standing: pl.DataFrame, new: pl.DataFrame) -> list[Oddity]:
        """Versions that say they end after the next one of their key begins, where either is new."""
        if not self._versioned:
            return []
        names = [*self._identity, "valid_to"]
        rows = [standing.select(*names, _new=False), new.select(*names, _new=True)]
        told = pl.concat(rows).sort(self._identity)
        over = pl.col("valid_to") > pl.col("valid_from").shift(-1)
        return _oddity("overlap", told.filter(_FOLLOWED & over & (pl.col("_new") | pl.col("_new").shift(-1))))

    def _remove(self, places: pl.DataFrame) -> None:
        """Take the rows at these `_piece` and `_row` away."""
        if not places.height:
            return
        for number in places["_piece"].unique().to_list():
            piece = self._pieces[number]
            keep = np.ones(piece.height, np.bool_)
            keep[places.filter(pl.col("_piece") == number)["_row"].to_numpy()] = False
            self._pieces[number] = piece.filter(pl.Series(keep))
        self._moved = True
        self._pieces = [piece for piece in self._pieces if piece.height] or [self._pieces[0]]
        if len(self._pieces) > 8 + 2 * self.height // PIECE_ROWS:
            self._pieces = _split(pl.concat(self._pieces, rechunk=True))

    def _append(self, new: pl.DataFrame) -> None:
        """Put rows behind the others, into the last piece while there is room."""
        if not new.height:
            return
        if self._pieces[-1].height < PIECE_ROWS:
            new = pl.concat([self._pieces.pop(), new])
        self._pieces += _split(new.rechunk())
        self._moved = True


def _split(rows: pl.DataFrame) -> list[pl.DataFrame]:
    return [rows.slice(at, PIECE_ROWS) for at in range(0, rows.height, PIECE_ROWS)]


def _oddity(kind: str, rows: pl.DataFrame) -> list[Oddity]:
    if not rows.height:
        return []
    first = rows.head(NAMED).select("_key", "valid_from").rows()
    return [Oddity(kind, rows.height, tuple((key.decode(errors="replace"), since) for key, since in first))]
