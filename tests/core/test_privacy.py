"""Pseudonyms: one per person and key, and no way back."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.core.privacy import MARK, guard, guard_list, hidden, pseudonym

KEY, OTHER = b"k" * 32, b"o" * 32


def test_writings_of_one_account_are_one_and_other_accounts_are_others() -> None:
    """Logs write accounts in capitals and with blanks; without the key nobody can compute the pseudonym."""
    assert pseudonym("J.Doe ", KEY) == pseudonym("j.doe", KEY)
    assert pseudonym("j.doe", KEY) != pseudonym("j.dow", KEY)
    assert pseudonym("j.doe", KEY) != pseudonym("j.doe", OTHER)


@given(st.text())
def test_a_name_is_nowhere_in_its_pseudonym_and_a_pseudonym_stays(name: str) -> None:
    """What is loaded twice is hidden once; a token is letters and digits, whatever the name is."""
    token = pseudonym(name, KEY)
    assert token.startswith(MARK)
    assert token.removeprefix(MARK).isalnum()
    assert pseudonym(token, KEY) == token


def test_columns_and_lists_are_hidden_as_single_names_are() -> None:
    """Null stays null, an empty list stays empty, the order within a list is kept."""
    names = pl.Series("user", ["a", None, "b", "a"])
    assert hidden(names, KEY).to_list() == [pseudonym("a", KEY), None, pseudonym("b", KEY), pseudonym("a", KEY)]
    lists = pl.Series("actors", [["b", "a"], [], ["a"]], dtype=pl.List(pl.String))
    assert hidden(lists, KEY).to_list() == [[pseudonym("b", KEY), pseudonym("a", KEY)], [], [pseudonym("a", KEY)]]


def test_the_guard_lets_pseudonyms_pass_and_nothing_else() -> None:
    """A name before or behind a pseudonym, or in lines of its own, is a name; null stays null."""
    token = pseudonym("a", KEY)
    told = ["Jane Doe", token, None, "", f"{token} Jane", f"Jane {token}", f"{token}\n", f"Jane\n{token}", MARK]
    rows = pl.DataFrame({"user": told, "actors": [[name] for name in told]})
    kept = rows.select(guard("user"), guard_list("actors"))
    assert kept["user"].to_list() == [None, token, *[None] * 7]
    assert kept["actors"].to_list() == [[], [token], *[[] for _ in range(7)]]


@given(st.lists(st.one_of(st.none(), st.text()), max_size=5))
def test_the_guard_of_lists_keeps_what_the_guard_of_values_keeps(names: list[str | None]) -> None:
    """In their order; nothing else in the row moves."""
    told = [*names, pseudonym("b", KEY)]
    one = pl.DataFrame({"n": pl.Series(told, dtype=pl.String)}).select(guard("n"))["n"].drop_nulls().to_list()
    lists = pl.DataFrame({"n": pl.Series([told, None], dtype=pl.List(pl.String))}).select(guard_list("n"))["n"]
    assert lists.to_list() == [one, None]
