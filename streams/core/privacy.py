"""Persons at the border. Enters: accounts and names as IT systems write them, a key. Leaves: pseudonyms.

One person has one pseudonym as long as the key is the same, so that a logon and a work order can still be matched.
Nobody can go back, or compute it for a name he suspects, without the key: deleting the key erases all of them at once.
The pseudonym is HMAC-SHA-256 (RFC 2104) of the name, folded so that writings that mean one account are one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import unicodedata
from typing import Final

import polars as pl

KEY_BYTES: Final = 32
MARK: Final = "person-"
# 80 bits: among a million persons the chance that any two share one is below 1e-12.
TOKEN_BYTES: Final = 10
PSEUDONYM: Final = re.compile(MARK + "[a-z2-7]{16}")
_WHOLE: Final = f"^(?:{PSEUDONYM.pattern})$"


def pseudonym(name: str, key: bytes) -> str:
    """The pseudonym of a name or account; one that is a pseudonym already stays as it is."""
    if PSEUDONYM.fullmatch(name):
        return name
    told = unicodedata.normalize("NFKC", name).strip().casefold()
    digest = hmac.new(key, told.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return MARK + base64.b32encode(digest[:TOKEN_BYTES]).decode().lower()


def hidden(told: pl.Series, key: bytes) -> pl.Series:
    """A column of names (String) or of lists of names as pseudonyms; null stays null."""
    lists = isinstance(told.dtype, pl.List)
    names = (told.explode() if lists else told).drop_nulls().unique()
    tokens = pl.Series([pseudonym(name, key) for name in names], dtype=pl.String)
    one = pl.element() if lists else pl.col(told.name)
    replaced = one.replace_strict(names, tokens, default=None, return_dtype=pl.String)
    return told.to_frame().select(pl.col(told.name).list.eval(replaced) if lists else replaced).to_series()


def guarded(told: pl.Series, key: bytes | None = None) -> tuple[pl.Series, int]:
    """A column of names (String) or of lists of names without the clear ones, and how many of these there were.

    Where there is a key they become pseudonyms, so that they can still be matched; else they are left out (`guard`).
    """
    lists = isinstance(told.dtype, pl.List)
    names = (told.explode() if lists else told).drop_nulls()
    clear = int((~names.str.contains(_WHOLE)).sum())
    if not clear:
        return told, 0
    if key is None:
        return told.to_frame().select(guard_list(told.name) if lists else guard(told.name)).to_series(), clear
    # A blank account is nobody's: one pseudonym for all of them would take different persons for one.
    somebody = (pl.element() if lists else pl.col(told.name)).str.strip_chars() != ""
    kept = pl.col(told.name).list.eval(pl.element().filter(somebody)) if lists else pl.when(somebody).then(told.name)
    return hidden(told.to_frame().select(kept.alias(told.name)).to_series(), key), clear


def guard(column: str) -> pl.Expr:
    """`column` (String) without clear names: null where a value is no pseudonym, whoever wrote it.

    For records that other producers write, past the loader. Without the key a name cannot be replaced by its pseudonym,
    and one mark for all of them would take different persons for one.
    """
    return pl.when(pl.col(column).str.contains(_WHOLE)).then(pl.col(column)).alias(column)


def guard_list(column: str) -> pl.Expr:
    """`column` (lists of String) without the clear names in it; null stays null."""
    kept = pl.element().filter(pl.element().str.contains(_WHOLE).fill_null(value=False))
    return pl.col(column).list.eval(kept).alias(column)
