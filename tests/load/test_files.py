"""Files as people have them: separators, compressions, logs, broken rows, broken files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.load.mapping import Mapping
from streams.core.load.take import ROW
from streams.load.files import PART, File, read
from streams.load.formats import FileFault

ZEEK = "#separator \\x09\n#unset_field\t-\n#empty_field\t(empty)\n#fields\tts\tuid\n#types\ttime\tstring\n"


def rows(file: File) -> list[tuple[object, ...]]:
    """The table's rows without their numbers."""
    return file.table.drop(ROW).rows()


def reading(folder: Path, content: str | bytes, **said: str) -> File:
    """A small file with this content, read."""
    path = folder / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (part,) = (part for part in read(path, Mapping("order", **said)))  # type: ignore[arg-type]
    return part


def test_a_row_with_too_many_or_too_few_cells_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    """Whatever stands after a missing separator stands in the wrong column."""
    file = reading(tmp_path, 'id;text\n1;"a;b"\n2\n\n3;c;d\n4;\n', separator=";")
    assert rows(file) == [("1", "a;b"), ("4", "")]
    assert file.table[ROW].to_list() == [1, 5]
    assert file.refused.select("row", "problem").rows() == [
        (2, "has 1 cells, the heading has 2"),
        (4, "has 3 cells, the heading has 2"),
    ]


def test_a_compressed_file_is_read_like_a_plain_one(tmp_path: Path) -> None:
    """Exports come gzipped, and with a byte order mark."""
    assert rows(reading(tmp_path, gzip.compress("\ufeffid\na\n".encode()))) == [("a",)]


def test_a_zeek_log_tells_its_columns_and_what_is_not_set(tmp_path: Path) -> None:
    """The heading says how it is written."""
    file = reading(tmp_path, ZEEK + "1.5\t-\n2.5\t(empty)\n3.5\tC1\n#close\n", format="zeek")
    assert rows(file) == [("1.5", None), ("2.5", None), ("3.5", "C1")]


def test_lines_are_read_by_a_pattern_and_others_are_counted(tmp_path: Path) -> None:
    """A log holds much that is of another kind."""
    file = reading(tmp_path, "in a\nnoise\nin b\n", format="lines", pattern=r"^in (?P<who>\w+)")
    assert (rows(file), file.table[ROW].to_list(), file.skipped) == ([("a",), ("b",)], [1, 3], 1)


def test_objects_are_flattened_and_what_is_none_is_refused(tmp_path: Path) -> None:
    """Members of members have names with dots; a broken line does not hide the next."""
    content = '{"id": 1, "at": {"line": "L1", "on": true}}\n{broken\n[1]\n{"id": "x", "tags": ["a", "b"], "n": null}\n'
    file = reading(tmp_path, content, format="jsonl")
    assert file.table.columns == ["id", "at.line", "at.on", "tags", "n", ROW]
    assert rows(file) == [("1", "L1", "true", None, None), ("x", None, None, "a\x1eb\x1e", None)]
    assert file.refused["row"].to_list() == [2, 3]
    assert file.refused["value"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("content", "form", "told"),
    [
        (b"", "csv", "the file is empty"),
        (b"a,a\n1,2\n", "csv", "more than once"),
        (b"id\n\xff\n", "csv", "line 2 is not utf-8; name its encoding"),
        (b"\x1f\x8bbroken", "csv", "compressed file is broken"),
        (b"x" * 1_100_000, "csv", "line 1 is larger"),
        (b'id\n1\n"' + b"x\n" * 600_000, "csv", "line 3: field larger .* never closed"),
        (b'id,text\n1,a\n2,"b\n3,c\n', "csv", "line 3: unexpected end of data; a quote is opened there"),
        ("id\n1\n".encode("utf-16"), "csv", "is UTF-16"),
        (b"", "jsonl", "the file is empty"),
        (b"\nid\n", "csv", "first line is empty"),
        (b"1\t2\n", "zeek", "no #fields line"),
        (b"{}", "json", "a list of objects"),
        (b"{", "json", "no JSON"),
        (b"[" * 100_000, "json", "no JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_that_says_why(
    tmp_path: Path, content: bytes, form: str, told: str
) -> None:
    """Nothing of it is taken."""
    with pytest.raises(FileFault, match=told):
        reading(tmp_path, content, format=form)


@given(content=st.binary(max_size=80), form=st.sampled_from(["csv", "json", "jsonl", "zeek"]))
def test_no_content_makes_the_reader_fail_in_another_way(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, form: str
) -> None:
    """Garbage is a table or a FileFault."""
    try:
        file = reading(tmp_path_factory.getbasetemp(), content, format=form)
    except FileFault:
        return
    assert file.table.height + file.refused.height <= len(content) + 1


def test_a_folder_and_a_file_that_is_not_there_are_told(tmp_path: Path) -> None:
    """A path may lead anywhere."""
    with pytest.raises(FileFault, match="is a folder; name one file"):
        list(read(tmp_path, Mapping("order")))
    with pytest.raises(FileFault, match="No such file"):
        list(read(tmp_path / "absent.csv", Mapping("order")))


def test_an_old_encoding_is_read_where_the_mapping_names_it(tmp_path: Path) -> None:
    """Exports of older systems are not UTF-8."""
    assert rows(reading(tmp_path, "ort\nKöln\n".encode("cp1252"), encoding="cp1252")) == [("Köln",)]


def test_a_row_with_broken_quotes_is_refused_and_what_stands_in_it_is_not_told(tmp_path: Path) -> None:
    """Nobody knows which of its cells would have been a name."""
    file = reading(tmp_path, 'id,who\n1,"Jane" Doe\n2,x\n')
    assert (rows(file), file.refused["row"].to_list()) == ([("2", "x")], [1])
    assert "Jane" not in str(file.refused.rows())


def test_a_heading_without_rows_is_a_table_without_rows(tmp_path: Path) -> None:
    """It has its columns, so that a wrong mapping is told in this case, too."""
    file = reading(tmp_path, "id,text\n")
    assert (file.table.columns, file.table.height) == (["id", "text", ROW], 0)


def test_a_large_file_comes_in_parts_with_rows_numbered_through(tmp_path: Path) -> None:
    """Memory holds a part of it, however long it is."""
    (tmp_path / "large.csv").write_text("id\n" + "x\n" * (2 * PART + 1))
    parts = list(read(tmp_path / "large.csv", Mapping("order")))
    assert [part.table.height for part in parts] == [PART, PART, 1]
    assert parts[2].table[ROW].to_list() == [2 * PART + 1]


def test_json_on_one_line_is_read(tmp_path: Path) -> None:
    """Programs write it without a single end of line, however long it is."""
    content = "[" + ",".join(f'{{"id": {n}, "text": "{"x" * 1000}"}}' for n in range(2_000)) + "]"
    assert reading(tmp_path, content, format="json").table.height == 2_000


def test_joined_zeek_logs_with_other_columns_are_an_error(tmp_path: Path) -> None:
    """Cells would stand in the wrong columns; a heading that is repeated as it was says nothing new."""
    first = ZEEK + "1.5\tC1\n#close\n"
    assert rows(reading(tmp_path, first + ZEEK + "2.5\tC2\n", format="zeek")) == [("1.5", "C1"), ("2.5", "C2")]
    with pytest.raises(FileFault, match="second #fields line names other columns: load each"):
        reading(tmp_path, first + ZEEK.replace("ts\tuid", "uid\tts") + "C2\t2.5\n", format="zeek")
