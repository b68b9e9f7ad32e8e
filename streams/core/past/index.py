"""Where in the log the readings of some time are. Enters: chunks of readings. Leaves: an index, time to offsets.

Event time is cut into buckets, the log into blocks of offsets. The index holds which block has a reading of which
bucket, so a reading that comes hours late is found again as well as those that came in time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.core.stage import Change, Span, Table
from streams.core.times import SECOND_US

BUCKET_US: Final = 600 * SECOND_US
BLOCK: Final = 1024
MARKS: Final = 1 << 16
INDEX: Final = Table("index", pl.Schema({"bucket": pl.Int64(), "block": pl.Int64()}), ("bucket", "block"))


def indexed(frame: pl.DataFrame, index: pl.DataFrame, oldest_us: int) -> Change:
    """What a chunk (`event_time`, `_offset`) adds to the index; buckets that end by `oldest_us` are left out."""
    time, offset = frame["event_time"].to_numpy(), frame["_offset"].to_numpy()
    first = (int(time.min()) // BUCKET_US, int(offset.min()) // BLOCK)
    last = (int(time.max()) // BUCKET_US, int(offset.max()) // BLOCK)
    oldest = oldest_us // BUCKET_US
    if first == last or (first[0] == last[0] and last[1] - first[1] == 1):  # nearly always
        pairs = pl.DataFrame([first, last][: 1 + (first != last)], schema=INDEX.schema, orient="row")
    else:
        bucket, block = time // BUCKET_US, offset // BLOCK
        width = last[1] - first[1] + 1
        both = _distinct((bucket - first[0]) * width + (block - first[1]), (last[0] - first[0] + 1) * width)
        pairs = pl.DataFrame({"bucket": both // width + first[0], "block": both % width + first[1]}, INDEX.schema)
    near = index.filter(pl.col("block") >= first[1], pl.col("block") <= last[1])
    pairs = pairs.filter(pl.col("bucket") >= oldest).join(near, on=list(INDEX.key), how="anti")
    return Change(upsert=pairs if pairs.height else None)


def _distinct(numbers: npt.NDArray[np.int64], end: int) -> npt.NDArray[np.int64]:
    """The distinct ones of `numbers`, 0 up to `end`, ascending. A mark for each is quicker than sorting, if few."""
    if end > MARKS:
        return np.unique(numbers)
    marks = np.zeros(end, np.bool_)
    marks[numbers] = True
    return np.flatnonzero(marks)


def forgotten(index: pl.DataFrame, oldest_us: int) -> Change:
    """The change that forgets the buckets that end by `oldest_us`; none where there is nothing to forget."""
    oldest = oldest_us // BUCKET_US
    stale = index.height and int(index["bucket"].min()) < oldest  # type: ignore[arg-type]
    return Change(floor=("bucket", oldest) if stale else None)


def spans(index: pl.DataFrame, begin_us: int, end_us: int, log: Span) -> tuple[Span, ...]:
    """Offsets, within `log`, of the blocks that hold readings of [begin_us, end_us); neighbours are one span."""
    inside = pl.col("bucket").is_between(begin_us // BUCKET_US, (end_us - 1) // BUCKET_US)
    block = np.unique(index.filter(inside)["block"].to_numpy())
    breaks = np.flatnonzero(np.diff(block) != 1)
    starts = block[np.append(0, breaks + 1)[: block.size]] * BLOCK
    ends = (block[np.append(breaks, block.size - 1)[: block.size]] + 1) * BLOCK
    clipped = (
        Span(max(int(start), log.begin), min(int(end), log.end)) for start, end in zip(starts, ends, strict=True)
    )
    return tuple(span for span in clipped if span.begin < span.end)
