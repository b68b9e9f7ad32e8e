"""Files as tables of texts. Enters: a path, how the file is written. Leaves: its rows with their numbers, part by part.

CSV, JSON, JSON lines, Zeek logs, and lines read by a regular expression; any of them compressed by gzip. A file is read
line by line, so that a large one needs no more memory than a part of it; JSON alone is one value and has a limit. A row
that is broken is refused and the rest goes on; a file that cannot be read at all is an error that says why. What stands
in a broken row is not told: nobody knows which of its cells are names.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import polars as pl

from streams.core.load.mapping import Mapping
from streams.core.load.take import REFUSED, ROW
from streams.load.formats import JSON_MAX, FileFault, Found, found

GZIP: Final = b"\x1f\x8b"
UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
MARK: Final = b"\xef\xbb\xbf"
# Rows of a part: some ten MB of texts.
PART: Final = 20_000
# A line may hold a long text, but not a file.
LINE_MAX: Final = 1 << 20


@dataclass(frozen=True)
class File:
    """A part of a file. `table`: columns of texts and `_row`; `refused` as take.REFUSED; `skipped`: lines of no use."""

    table: pl.DataFrame
    refused: pl.DataFrame
    skipped: int = 0


def read(path: Path, mapping: Mapping) -> Iterator[File]:
    """The rows of a file, in parts of PART rows, each with the columns that it has. Raises FileFault."""
    names, rows = found(_lines(path, mapping), mapping)
    part = list(islice(rows, PART))
    yield _part(names, part)
    while part := list(islice(rows, PART)):
        yield _part(names, part)


def _lines(path: Path, mapping: Mapping) -> Iterator[str]:
    """The lines of a file, each with its end."""
    number, encoding = 0, mapping.encoding
    # JSON is often written without a single end of line.
    longest = JSON_MAX if mapping.format == "json" else LINE_MAX
    try:
        with path.open("rb") as plain:
            head = plain.read(len(MARK))
            plain.seek(0)
            if head[: len(UTF_16[0])] in UTF_16:
                raise FileFault(f"{path} is UTF-16; convert the file (iconv -f UTF-16 -t UTF-8)")
            with gzip.open(plain) if head[: len(GZIP)] == GZIP else plain as file:
                while line := file.readline(longest + 1):
                    number += 1
                    if len(line) > longest:
                        raise FileFault(f"{path}: line {number} is larger than {longest} bytes; is the format right?")
                    yield line.removeprefix(MARK if number == 1 else b"").decode(encoding)
    except UnicodeDecodeError as why:
        text = f"{path}: line {number} is not {encoding}; name its encoding in the mapping file (file.encoding)"
        raise FileFault(f"{text}, or convert the file (iconv -t UTF-8)") from why
    except (gzip.BadGzipFile, EOFError, zlib.error) as why:
        raise FileFault(f"{path}: the compressed file is broken ({why}); get it again") from why
    except IsADirectoryError as why:
        raise FileFault(f"{path} is a folder; name one file") from why
    except OSError as why:
        raise FileFault(f"{path}: {why.strerror}; name a file that can be read") from why
    if number == 0:
        raise FileFault(f"{path}: the file is empty; there is nothing to load")


def _part(names: Iterable[str], part: list[Found]) -> File:
    rows = [one for one in part if one.cells is not None]
    # Objects have the members that they have: the columns of a part are those of its rows.
    there = dict.fromkeys(names) or {name: None for one in rows for name in one.cells or ()}
    columns: dict[str, pl.Series] = {
        name: pl.Series(name, [(one.cells or {}).get(name) for one in rows], pl.String) for name in there
    }
    columns[ROW] = pl.Series(ROW, [one.row for one in rows], pl.Int64)
    bad = [(one.row, None, None, one.problem, "correct the row") for one in part if one.problem is not None]
    return File(
        pl.DataFrame(columns), pl.DataFrame(bad, schema=REFUSED, orient="row"), len(part) - len(rows) - len(bad)
    )
