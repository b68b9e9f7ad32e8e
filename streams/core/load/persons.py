"""Persons in files. Enters: a mapping, records with clear names, a key. Leaves: records with pseudonyms, without texts.

A field that the contract marks as identity becomes a pseudonym. A free text may name anybody, in any writing, and no
list finds them all: it is left out, unless the mapping says that it names nobody (`clear = true`).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as Dict

import polars as pl

from streams.core.load.mapping import Field, Mapping
from streams.core.privacy import hidden


def columns(mapping: Mapping, fields: Dict[str, Field]) -> frozenset[str]:
    """The columns of the file that name persons, as far as the mapping tells."""
    drawn = (mapping.fields[name].columns for name in (*identities(mapping, fields), *texts(mapping, fields)))
    return frozenset(column for of_field in drawn for column in of_field)


def identities(mapping: Mapping, fields: Dict[str, Field]) -> tuple[str, ...]:
    """Fields that become pseudonyms."""
    return tuple(name for name in mapping.fields if fields[name].personal == "identity")


def texts(mapping: Mapping, fields: Dict[str, Field]) -> tuple[str, ...]:
    """Fields that are left out."""
    return tuple(name for name, one in mapping.fields.items() if fields[name].personal == "text" and not one.clear)


def leaks(mapping: Mapping, fields: Dict[str, Field]) -> list[str]:
    """Faults of a mapping that would carry a column with names into a field that is not protected."""
    named = columns(mapping, fields)
    return [
        f"  fields.{name}: column {column!r} names persons, and would stand here in clear; take another column"
        for name, origin in mapping.fields.items()
        if name not in (*identities(mapping, fields), *texts(mapping, fields)) and origin.words is None
        for column in _shared(origin.columns, named)
    ]


def _shared(drawn: Iterable[str], named: frozenset[str]) -> list[str]:
    return sorted(named.intersection(drawn))


def protected(
    records: pl.DataFrame, mapping: Mapping, fields: Dict[str, Field], key: bytes | None
) -> tuple[pl.DataFrame, int]:
    """`records` as they may be stored, and how many texts were left out. `key` is needed where there are identities."""
    left_out = texts(mapping, fields)
    count = sum(int(records[name].is_not_null().sum()) for name in left_out)
    kept = records.drop(left_out)
    named = identities(mapping, fields)
    if not named:
        return kept, count
    if key is None:
        raise ValueError(f"{', '.join(named)} name persons: a key is needed")
    return kept.with_columns(hidden(kept[name], key) for name in named), count
