"""Files as records: what is protected, left out, told; a large file; the same file again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams import topology
from streams.core.load.faults import MappingFaults
from streams.core.privacy import MARK, pseudonym
from streams.kafka.avro import codec
from streams.load import kinds
from streams.load.command import Report
from streams.load.formats import FileFault
from streams.load.key import KeyFault, make_key, read_key
from streams.load.prepare import Prepared, mapped, prepare

NOW = 1_800_000_000_000_000
KEY = b"k" * 32
ORDERS = """kind = "work_order"
[time]
format = "%Y-%m-%d"
[fields]
order_id = { column = "nr" }
text = { column = "text" }
actors = { column = "who", split = ";" }
started_at = { column = "day" }
"""
CLEAR = ('"text" }', '"text", clear = true }')


def prepared(folder: Path, content: str, mapping: str = ORDERS, kind: str = "work_order", key: bytes = KEY) -> Prepared:
    """What a file and a mapping with these contents make."""
    (folder / "m.toml").write_text(mapping)
    (folder / "file").write_text(content)
    return prepare(mapped(kind, folder / "m.toml"), folder / "file", lambda: key, pl.DataFrame, NOW)


def faults(folder: Path, mapping: str, content: str = "nr,text,who,day\n", kind: str = "work_order") -> str:
    """What a mapping is refused for."""
    with pytest.raises(MappingFaults) as why:
        prepared(folder, content, mapping, kind)
    return str(why.value)


def test_persons_become_pseudonyms_and_free_texts_are_left_out_and_counted(tmp_path: Path) -> None:
    """A text may name anybody; the mapping may say that it names nobody."""
    content = "nr,text,who,day\n1,ask Jane Doe,jdoe;root,2026-01-02\n2,,,2026-01-03\n"
    found = prepared(tmp_path, content)
    assert "text" not in found.records.columns
    assert (found.records["actors"].to_list()[0], found.texts) == ([pseudonym("jdoe", KEY), pseudonym("root", KEY)], 1)
    assert "1 texts left out" in Report("work_order", found, sent=True).text()
    kept = prepared(tmp_path, content, ORDERS.replace(*CLEAR))
    assert (kept.records["text"].to_list(), kept.texts) == (["ask Jane Doe", None], 0)


def test_no_column_with_names_gets_into_another_field(tmp_path: Path) -> None:
    """An id made of an account would carry it inside in clear; words that a map replaces carry nothing."""
    template = ORDERS.replace(
        'order_id = { column = "nr" }', 'order_id = { template = "{nr}-{who}" }\nkind = { column = "text" }'
    )
    told = faults(tmp_path, template)
    assert "fields.order_id: column 'who' names persons" in told
    assert "fields.kind: column 'text' names persons" in told
    mapped_words = ORDERS + 'kind = { column = "text", map = { leak = "corrective" }, otherwise = "inspection" }\n'
    found = prepared(tmp_path, "nr,text,who,day\n1,leak,,2026-01-02\n2,call Jane,,2026-01-02\n", mapped_words)
    assert found.records["kind"].to_list() == ["corrective", "inspection"]


def test_what_is_refused_is_told_without_names_and_short(tmp_path: Path) -> None:
    """A report goes to others: broken rows and columns with names show nothing, other values 80 letters."""
    words = ORDERS + 'priority = { column = "text", map = { x = "low" } }\n'
    long = "9" * 500
    found = prepared(tmp_path, f"nr,text,who,day\n1,Jane Doe,,2026-01-02\n2,x,Jane Doe\n3,x,,{long}\n", words)
    assert found.refused.select("row", "field", "value").rows() == [
        (1, "priority", None),
        (2, None, None),
        (3, "started_at", "9" * 80),
    ]
    shown = Report("work_order", found, sent=False)
    assert "Jane" not in shown.text() + shown.line()
    assert json.loads(shown.line())["refused"] == 3


def test_every_column_that_is_missing_is_told_also_where_there_are_no_rows(tmp_path: Path) -> None:
    """The file is of another export; nothing of it is taken."""
    told = faults(tmp_path, ORDERS, "nrr,text,day\n")
    assert "2 fault(s)" in told
    assert "column 'nr': the file has no such column; did you mean 'nrr'?" in told
    assert "column 'who'" in told


def test_a_member_that_only_late_objects_have_is_no_missing_column(tmp_path: Path) -> None:
    """Objects tell what they have, and a file of them has no heading; what none of them has is missing."""
    lines = ORDERS.replace('"work_order"\n', '"work_order"\n[file]\nformat = "jsonl"\n')
    rows = [json.dumps({"nr": str(n), "day": "2026-01-02", "text": "t"}) for n in range(20_001)]
    found = prepared(tmp_path, "\n".join([*rows, '{"nr": "x", "day": "2026-01-02", "who": "jdoe"}']), lines)
    assert found.records.height == 20_002
    assert found.records["actors"].to_list()[-1] == [pseudonym("jdoe", KEY)]
    assert "column 'who'" in faults(tmp_path, lines, "\n".join(rows[:2]))


def test_the_key_is_asked_for_where_persons_are_named_and_not_elsewhere(tmp_path: Path) -> None:
    """A plant that loads no persons needs no key."""
    (tmp_path / "m.toml").write_text(ORDERS)
    (tmp_path / "file").write_text("nr,text,who,day\n1,,,2026-01-02\n")
    with pytest.raises(KeyFault, match="PLANTWEAVE_PSEUDONYM_KEY_FILE"):
        prepare(mapped("work_order", tmp_path / "m.toml"), tmp_path / "file", lambda: read_key(""), pl.DataFrame, NOW)
    nobody = ORDERS.replace('actors = { column = "who", split = ";" }\n', "")
    (tmp_path / "m.toml").write_text(nobody)
    said = mapped("work_order", tmp_path / "m.toml")
    assert prepare(said, tmp_path / "file", lambda: read_key(""), pl.DataFrame, NOW).records.height == 1


def test_after_the_key_is_deleted_nobody_can_link_old_and_new_pseudonyms(tmp_path: Path) -> None:
    """A key is made once and never overwritten; deleted and made anew it makes other tokens of the same names."""
    file = tmp_path / "key"
    make_key(file)
    with pytest.raises(KeyFault, match="delete it first"):
        make_key(file)
    content = "nr,text,who,day\n1,,jdoe;root,2026-01-02\n"
    before = prepared(tmp_path, content, key=read_key(str(file))).records["actors"].to_list()[0]
    assert before == prepared(tmp_path, content, key=read_key(str(file))).records["actors"].to_list()[0]
    file.unlink()
    with pytest.raises(KeyFault, match="no key can be read"):
        read_key(str(file))
    make_key(file)
    after = prepared(tmp_path, content, key=read_key(str(file))).records["actors"].to_list()[0]
    assert set(before).isdisjoint(after)
    assert all(token.startswith(MARK) for token in after)


SIGNALS = """kind = "signal"
[fields]
signal_id = { column = "id" }
source_id = { column = "source" }
address = { column = "id" }
work_center = { value = "line-1" }
enumeration = { column = "states", split = ";" }
window_lengths_s = { column = "windows", split = "+" }
"""


def test_maps_and_lists_of_numbers_are_read_and_broken_ones_refused(tmp_path: Path) -> None:
    """The dictionary can be loaded as the other kinds."""
    content = "id,source,states,windows\na,s,0=idle; 1=a=b,10+60\nb,s,idle,\nc,s,,ten\nd,s,,\n"
    found = prepared(tmp_path, content, SIGNALS, "signal")
    assert found.records["signal_id"].to_list() == ["a", "d"]
    assert found.records["enumeration"].to_list()[0] == [{"key": "0", "value": "idle"}, {"key": "1", "value": "a=b"}]
    assert found.records["window_lengths_s"].to_list() == [[10, 60], []]
    assert found.refused.select("row", "field").rows() == [(2, "enumeration"), (3, "window_lengths_s")]


def test_a_cell_that_says_nothing_takes_the_default_of_the_contract(tmp_path: Path) -> None:
    """Where the contract has no null; the records can be written."""
    more = 'valid_from = { column = "from", format = "iso" }\nstatus = { column = "status" }\n'
    found = prepared(tmp_path, "nr,text,who,day,from,status\n1,,,2026-01-02,,\n", ORDERS + more)
    assert found.records.select("valid_from", "status").rows() == [(0, "planned")]
    encoder = codec.Encoder(topology.WORK_ORDER.name, codec.single_object(), topology.WORK_ORDER.key)
    assert len(encoder.encode(found.records)) == 1


CELLS = (
    "",
    "1",
    "-1",
    "1e400",
    "nan",
    "2026-01-02",
    "9999-12-31T23:59:59Z",
    "99999999999",
    "a,b",
    "a=b",
    "\0",
    "s/l",
    "🦫",
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_file_of_any_kind_its_rows_add_up_and_its_records_can_be_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """No row is lost, none counts twice, and no cell gets as far as to make the writer fail."""
    kind = data.draw(st.sampled_from(list(kinds.KINDS)))
    fields = kinds.fields(kind)
    chosen = [name for name, one in fields.items() if one.required or data.draw(st.booleans())]
    times = {name: ', format = "iso"' if fields[name].time else "" for name in chosen}
    lines = [f'{name} = {{ column = "{name}"{times[name]} }}' for name in chosen]
    mapping = "\n".join([f'kind = "{kind}"', "[file]", 'format = "jsonl"', "[fields]", *lines])
    row = st.fixed_dictionaries({name: st.sampled_from(CELLS) for name in chosen})
    rows = [*data.draw(st.lists(row, max_size=8)), dict.fromkeys(chosen, "1")]
    folder = tmp_path_factory.getbasetemp()
    found = prepared(folder, "\n".join(json.dumps(one) for one in rows), mapping, kind)
    assert len(rows) == found.rows == found.records.height + found.refused["row"].n_unique() + found.repeats
    topic = kinds.KINDS[kind]
    written = codec.Encoder(topic.name, codec.single_object(), topic.key).encode(found.records)
    assert len(written) == found.records.height


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ('kind = "work_order"\n[file]\nencoding = "utf-16"\n[fields]', "file.encoding: write one that holds ASCII"),
        ('kind = "work_order"\n[file]\nencoding = "none"\n[fields]', "file.encoding"),
        (ORDERS + 'kind = { value = "x", clear = true }\n', "fields.kind.clear: write true or false, at a free text"),
        (ORDERS.replace("work_order", "access"), "access has no such field"),
        (ORDERS.replace('kind = "work_order"', 'kind = "work_order"\n').replace("nr", "\udcff"), "no UTF-8"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_told(tmp_path: Path, mapping: str, told: str) -> None:
    """Each with the place in the file."""
    (tmp_path / "m.toml").write_text(mapping, errors="surrogateescape")
    with pytest.raises(MappingFaults, match=told):
        mapped("work_order", tmp_path / "m.toml")


LARGE = """
import resource, sys
from pathlib import Path
import polars as pl
from streams.load.prepare import mapped, prepare
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
mapping = mapped("work_order", Path(sys.argv[1]))
found = prepare(mapping, Path(sys.argv[2]), bytes, pl.DataFrame, int(sys.argv[3]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(found.records.height, found.refused.height, (after - before) // 1024)
"""


def large(folder: Path, rows: int) -> tuple[int, int, int]:
    """Records, refused rows and MiB of memory of a file of work orders; every 1,000th row is broken."""
    (folder / "m.toml").write_text(ORDERS)
    with (folder / "large.csv").open("w") as file:
        file.write("nr,text,who,day\n")
        for n in range(rows):
            day = "never" if n % 1_000 == 0 else f"2026-01-{n % 28 + 1:02}"
            file.write(
                f"WO-{n},Pump {n} leaks at the seal; replace it and check the coupling again,user{n % 50},{day}\n"
            )
    words = [sys.executable, "-c", LARGE, str(folder / "m.toml"), str(folder / "large.csv"), str(NOW)]
    records, refused, memory = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return int(records), int(refused), int(memory)


def test_a_file_of_50_mb_is_read_in_bounded_memory(tmp_path: Path) -> None:
    """Memory is that of its records, a fraction of the file, and not that of the texts in it."""
    rows = 530_000
    records, refused, memory = large(tmp_path, rows)
    assert (tmp_path / "large.csv").stat().st_size > 50_000_000
    assert (records, refused) == (rows - rows // 1_000, rows // 1_000)
    assert memory < 400


def test_a_list_of_objects_keeps_its_items_and_is_a_text_with_commas_elsewhere(tmp_path: Path) -> None:
    """Two accounts are two persons without a word about it in the mapping, also where a name holds a comma."""
    mapping = """kind = "work_order"
[file]
format = "json"
[fields]
order_id = { column = "nr" }
actors = { column = "who" }
failure_mode = { column = "modes" }
kind = { column = "type", map = { PM02 = "preventive" } }
"""
    one = {"nr": "1", "who": ["jdoe", "Doe, Jane"], "modes": ["leak", "wear"], "type": ["PM02"]}
    rows = [one, one | {"nr": "2", "who": "root", "type": None}, one | {"nr": "3", "who": [], "type": None}]
    found = prepared(tmp_path, json.dumps([*rows, one | {"nr": "4", "type": ["a", "b"]}]), mapping).records
    told = [[pseudonym(name, KEY) for name in names] for names in (("jdoe", "Doe, Jane"), ("root",), ())]
    assert found["actors"].to_list() == told
    assert found.select("failure_mode", "kind").row(0) == ("leak,wear", "preventive")
    assert found["order_id"].to_list() == ["1", "2", "3"]


def test_a_mapping_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    assert prepared(tmp_path, "nr,text,who,day\n1,,,2026-01-02\n", "\ufeff" + ORDERS).records.height == 1


@pytest.mark.parametrize(
    ("time", "text", "precision"),
    [
        ('format = "%Y-%m-%d"', "2026-01-02", "day"),
        ('format = "iso"', "2026-01-02T03:04:05Z", "exact"),
        ('format = "iso", precision = "typed_later"', "2026-01-02T03:04:05Z", "typed_later"),
    ],
)
def test_what_happened_has_the_precision_of_its_time_too(tmp_path: Path, time: str, text: str, precision: str) -> None:
    """A badge reader that tells only the day gives incidents no exact clock."""
    fields = f'access_id = {{ column = "id" }}\nkind = {{ value = "logon" }}\nevent_time = {{ column = "at", {time} }}'
    found = prepared(tmp_path, f"id,at\n1,{text}\n", f'kind = "access"\n[fields]\n{fields}\n', "access")
    assert found.records["time_precision"].to_list() == [precision]


def test_logons_of_a_log_that_was_rotated_keep_their_ids(tmp_path: Path) -> None:
    """Loaded twice, once without the lines that are gone by then, each logon is one event; two tries are two."""
    mapping = OPENSSH.replace("[time]\n", "[time]\nyear = 2025\n")
    line = "Dec 10 07:0{}:45 host sshd[5]: Failed {} for invalid user a b from 10.0.0.9 port 22 ssh2\n"
    log = [line.format(0, "password"), line.format(1, "none"), line.format(1, "password"), line.format(2, "password")]
    whole, rest = (prepared(tmp_path, "".join(part), mapping, "access").records["access_id"] for part in (log, log[1:]))
    assert whole.n_unique() == 4
    assert whole.to_list()[1:] == rest.to_list()


OPENSSH = (Path(kinds.__file__).parent / "mappings" / "openssh_auth.toml").read_text()
LOGON = "{} 07:00:45 host sshd[5]: Accepted password for a from 10.0.0.9 port 22 ssh2\n"


def test_a_log_without_a_year_is_not_loaded_before_somebody_says_it(tmp_path: Path) -> None:
    """No year is made up; the one that is said makes the time, that of a leap day included."""
    assert "tells no year: say in which year the file was written, by --year" in faults(tmp_path, OPENSSH, "", "access")
    (tmp_path / "file").write_text(LOGON.format("Feb 29"))
    said = mapped("access", tmp_path / "m.toml", 2024)
    found = prepare(said, tmp_path / "file", lambda: KEY, pl.DataFrame, NOW).records
    assert found["event_time"].to_list() == [1_709_190_045_000_000]
    in_file = OPENSSH.replace("[time]\n", "[time]\nyear = 2025\n")
    assert (
        prepared(tmp_path, LOGON.format("Dec 10"), in_file, "access").records["event_time"][0] == 1_765_350_045_000_000
    )
    wrong = prepared(tmp_path, LOGON.format("Feb 29"), in_file, "access").refused
    assert wrong["problem"].to_list() == ["is no time of the form %b %d %H:%M:%S of 2025 in UTC"]


def test_a_year_that_cannot_be_meant_is_told(tmp_path: Path) -> None:
    """As a text, of two digits, or where each time tells its year."""
    for year in ('"2025"', "25", "true"):
        assert "write a year from 1990" in faults(
            tmp_path, f"{OPENSSH}\n".replace("\n[time]", f"\n[time]\nyear = {year}"), "", "access"
        )
    assert "time.year: no time of the mapping needs it" in faults(
        tmp_path, ORDERS.replace("[time]", "[time]\nyear = 2025")
    )


@pytest.mark.parametrize("days", [("Dec 31", "Jan  1"), ("Jan  1", "Dec 31")])
def test_a_log_over_new_year_is_not_dated_by_one_year(tmp_path: Path, days: tuple[str, str]) -> None:
    """Half of its lines would be dated a year away, whichever way it is sorted; half a year of one year is none."""
    mapping = OPENSSH.replace("[time]\n", "[time]\nyear = 2025\n")
    with pytest.raises(
        FileFault, match=r"time of row 3 is more than half a year away .* lines of each year by themselves"
    ):
        prepared(tmp_path, "".join(map(LOGON.format, (days[0], days[0], days[1]))), mapping, "access")
    one = "".join(map(LOGON.format, ("Jan  1", "Jun 30", "Dec 29")))
    assert prepared(tmp_path, one, mapping, "access").records.height == 3


NONE_AT_ALL = [
    ("nr,text,who,day\n1,,,2026-01-02\n", f'only = {{ who = ["a"] }}\n{ORDERS}', "1 rows .it wants who = 'a'"),
    ("noise\nnoise\n", OPENSSH.replace("[time]\n", "[time]\nyear = 2025\n"), "file.pattern fits none of its 2 lines"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "mapping", "told"), NONE_AT_ALL)
def test_a_file_of_which_nothing_counts_is_no_success(tmp_path: Path, content: str, mapping: str, told: str) -> None:
    """It is mostly the wrong file, or a wrong mapping."""
    kind = "access" if mapping.startswith("#") else "work_order"
    with pytest.raises(FileFault, match=told):
        prepared(tmp_path, content, mapping, kind)


@pytest.mark.parametrize(("content", "form"), [("nr,text,who,day\n", "csv"), ("[]", "json"), ("\n", "jsonl")])
def test_an_export_that_has_nothing_to_tell_is_right(tmp_path: Path, content: str, form: str) -> None:
    """There are days on which nothing happens: no row, no fault."""
    found = prepared(tmp_path, content, f'file = {{ format = "{form}" }}\n{ORDERS}')
    assert (found.rows, found.records.height, found.refused.height) == (0, 0, 0)


def test_rows_that_are_all_refused_are_rows(tmp_path: Path) -> None:
    """The report says why each of them was; no column is missed where there is no object to have it."""
    found = prepared(tmp_path, "{broken\n", 'file = { format = "jsonl" }\n' + ORDERS)
    assert (found.rows, found.records.height, found.refused["row"].to_list()) == (1, 0, [1])


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_column_that_is_said_to_be_optional_may_be_missing_and_no_other(tmp_path: Path, form: str) -> None:
    """A small increment has what happened; the report says what is not there, the fault how to allow it."""
    mapping = f'file = {{ format = "{form}" }}\n' + ORDERS
    content = "nr,text,day\n1,,2026-01-02\n" if form == "csv" else '{"nr": "1", "text": null, "day": "2026-01-02"}\n'
    told = faults(tmp_path, mapping, content)
    assert "column 'who': the file has no such column" in told
    assert "(if files may lack it: optional = true at fields.actors)" in told
    mapping = mapping.replace('split = ";"', 'split = ";", optional = true')
    found = prepared(tmp_path, content, mapping)
    assert (found.records["actors"].to_list(), found.absent) == ([[]], ("who",))
    report = Report("work_order", found, sent=True)
    assert "columns that the file lacks (optional): who" in report.text()
    assert json.loads(report.line())["absent_columns"] == ["who"]
    typo = faults(tmp_path, mapping.replace('"day"', '"days"'), content)
    assert "column 'days': the file has no such column; did you mean 'day'?" in typo
    assert "'who'" not in typo


def test_optional_where_it_cannot_be_is_told(tmp_path: Path) -> None:
    """An id must be told, a value has no column, and rows are chosen by columns that are there."""
    wrong = ORDERS.replace('"nr"', '"nr", optional = true').replace('"text"', '"text", optional = "yes"')
    told = faults(tmp_path, wrong + 'kind = { value = "inspection", optional = true }\n')
    for problem in (
        "order_id.optional: the contract needs",
        "text.optional: write true",
        "kind.optional: a value needs",
    ):
        assert f"fields.{problem}" in told
    chosen = 'only = { who = ["a"] }\n' + ORDERS.replace('split = ";"', 'split = ";", optional = true')
    assert "optional" not in faults(tmp_path, chosen, "nr,text,day\n")
