"""Clear names that other producers write: none gets past the door of a service, and accounts can still be matched."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from streams import topology
from streams.agents import service_factory
from streams.core.context import Context
from streams.core.privacy import guarded, pseudonym
from streams.core.route.stage import Route
from streams.core.stage import Moment
from streams.kafka.avro import contracts
from streams.kafka.avro.writer import columns
from streams.kafka.persons import IDENTITY, TEXT, Persons, Unguarded, personal
from streams.load.key import KeyFault, make_key, read_key
from streams.settings import Settings

KEY: Final = b"k" * 32
KNOWN: Final = pseudonym("known", KEY)


def rows(topic: topology.Topic, **told: Any) -> pl.DataFrame:
    """One row of a topic."""
    schema = columns(contracts.load(topic.name).schema)
    return pl.DataFrame([dict.fromkeys(schema) | told], schema=schema, orient="row")


def test_the_contracts_say_what_is_personal() -> None:
    """What this project knows of persons; a new field with a name is to be marked, and seen here."""
    found = {
        (topic.name, mark, name)
        for topic in topology.topics()
        for mark in (IDENTITY, TEXT)
        for name in personal(topic.name, mark)
    }
    assert found == {
        ("it.access.v1", IDENTITY, "user"),
        ("it.change.v1", IDENTITY, "actors"),
        ("it.change.v1", TEXT, "text"),
        ("it.flow.v1", IDENTITY, "host_name"),
        ("it.work_order.v1", IDENTITY, "actors"),
        ("it.work_order.v1", TEXT, "text"),
    }


@pytest.mark.parametrize("topic", [topology.WORK_ORDER, topology.CHANGE])
def test_without_a_key_names_are_left_out_and_counted(topic: topology.Topic) -> None:
    """Pseudonyms of the loader stay, in their order; texts are read by nobody who does not say so."""
    told = rows(topic, actors=["Jane Doe", KNOWN, "J.Roe"], text="ask Jane")
    hidden, clear = Persons().hidden(topic.name, told)
    assert (clear, hidden["actors"].to_list(), hidden["text"].to_list()) == (2, [[KNOWN]], [None])
    assert hidden.schema == told.schema
    assert Persons([topic]).hidden(topic.name, told)[0]["text"].to_list() == ["ask Jane"]
    same, none = Unguarded().hidden(topic.name, told)
    assert (none, same.rows()) == (0, told.rows())


def test_with_a_key_the_account_of_a_logon_is_that_of_the_change() -> None:
    """However both are written: `route` and the context store make one pseudonym of one account."""
    told = rows(topology.CHANGE, actors=["j.doe", KNOWN, " "])
    allowed = Persons(key=KEY).hidden(topology.CHANGE.name, told)[0]["actors"][0].to_list()
    logon = rows(topology.ACCESS, access_id="1", site="s", event_time=0, kind="logon", user="J.DOE ")
    logon = logon.with_columns(_partition=pl.lit(0, pl.Int32), _offset=pl.lit(0, pl.Int64), _time=pl.lit(0, pl.Int64))
    out = Route(KEY).step(topology.ACCESS.name, logon, {}, Context(), Moment(0)).out[topology.EVIDENCE.name]
    assert out["actors"][0].to_list() == [pseudonym("j.doe", KEY)]
    assert allowed == [pseudonym("j.doe", KEY), KNOWN]


@pytest.mark.parametrize("key", [None, KEY])
def test_what_names_nobody_is_the_same_column(key: bytes | None) -> None:
    """Null, empty lists and pseudonyms cost a look and nothing more."""
    for column in (pl.Series("a", [None, KNOWN]), pl.Series("a", [[], None, [KNOWN]], dtype=pl.List(pl.String))):
        same, clear = guarded(column, key)
        assert same is column
        assert clear == 0


def test_every_service_guards_its_context_and_takes_the_key_it_is_given(tmp_path: Path) -> None:
    """Texts of orders are for sequences alone; a key that is none stops the start and says what to do."""
    file = tmp_path / "key"
    make_key(file)
    own = pseudonym("Jane Doe", read_key(str(file)))
    told = rows(topology.WORK_ORDER, actors=["Jane Doe"], text="ask Jane")
    for stage in topology.STAGES:
        for key_file, actors in (("", []), (str(file), [own])):
            persons = service_factory(stage.name)(Settings(pseudonym_key_file=key_file)).persons
            assert persons is not None
            hidden, clear = persons.hidden(topology.WORK_ORDER.name, told)
            assert (clear, hidden["actors"][0].to_list()) == (1, actors)
            assert hidden["text"].to_list() == ["ask Jane" if stage is topology.CORRELATE_STAGE else None]
    file.write_text("none", "utf-8")
    with pytest.raises(KeyFault, match="plantweave privacy key"):
        service_factory("route")(Settings(pseudonym_key_file=str(file)))
