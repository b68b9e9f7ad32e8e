"""Records of IT systems that others wrote, through the command's own functions, against counts made apart from it."""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from streams.core.privacy import PSEUDONYM
from streams.load.prepare import Prepared, mapped, prepare

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests" / "evaluation" / "mappings"
BUNDLED = ROOT / "streams" / "load" / "mappings"
NOW = 1_800_000_000_000_000
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def recordings() -> Path:
    """The folder of recorded data: DATA as of `make evaluate`, or ../shared/data; loud where it is absent."""
    folder = Path(os.environ.get("DATA", ROOT.parent / "shared" / "data"))
    assert (folder / "excavator_mwo").is_dir(), f"no recorded data in {folder}; DATA says in which folder they are"
    return folder


def taken(kind: str, file: Path, mapping: Path, year: int | None = None) -> Prepared:
    """What the command would send."""
    return prepare(mapped(kind, mapping, year), file, lambda: b"k" * 32, pl.DataFrame, NOW)


def lines(file: Path) -> list[str]:
    """The lines of a file, compressed or not."""
    content = file.read_bytes()
    text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    return text.splitlines()


def table(file: Path, separator: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a file with a heading."""
    return csv.DictReader(lines(file), delimiter=separator)


def counted(found: Prepared, field: str) -> Counter[Any]:
    """How often each value of a field occurs."""
    return Counter(found.records[field].to_list())


def test_work_orders_with_dates_only_are_known_to_the_day(recordings: Path) -> None:
    """NIST: all 5,485 as they were typed; what is not told of a time is absent, a date has the precision day."""
    file = recordings / "excavator_mwo" / "excavators.csv.gz"
    expected = list(table(file))
    found = taken("work_order", file, OWN / "nist_work_orders.toml")
    assert (found.rows, found.records.height, found.refused.height) == (5_485, len(expected), 0)
    assert counted(found, "asset_id") == Counter(f"excavator-{row['Asset']}" for row in expected)
    days = Counter("day" if row["BscStartDate"] not in ("", "NA") else "absent" for row in expected)
    assert counted(found, "started_at_precision") == days
    assert all(time is None or time % DAY == 0 for time in found.records["started_at"])
    texts = [row["OriginalShorttext"].strip() for row in expected]
    assert found.records["text"].to_list() == [None if text in ("", "NA") else text for text in texts]
    assert counted(found, "kind")["corrective"] == sum(row["PMType"] not in ("PM02", "PM03") for row in expected)


def test_free_texts_of_work_orders_are_left_out_unless_the_mapping_vouches_for_them(
    recordings: Path, tmp_path: Path
) -> None:
    """The same orders by a mapping without `clear`: every one is taken, and no text."""
    strict = (OWN / "nist_work_orders.toml").read_text().replace(", clear = true", "")
    (tmp_path / "strict.toml").write_text(strict)
    file = recordings / "excavator_mwo" / "excavators.csv.gz"
    found = taken("work_order", file, tmp_path / "strict.toml")
    told = sum(row["OriginalShorttext"].strip() not in ("", "NA") for row in table(file))
    assert (found.records.height, found.texts, "text" in found.records.columns) == (5_485, told, False)


def test_errors_maintenance_and_machines_are_one_fleet(recordings: Path) -> None:
    """Azure: 3,107 errors and 2,635 replacements, each on one of 80 machines that are assets."""
    folder = recordings / "azure_pdm"
    machines = taken("asset", folder / "PdM_machines.csv.gz", OWN / "azure_machines.toml")
    errors = taken("alarm", folder / "PdM_errors.csv.gz", OWN / "azure_errors.toml")
    repairs = taken("work_order", folder / "PdM_maint.csv.gz", OWN / "azure_maintenance.toml")
    assert [one.records.height for one in (machines, errors, repairs)] == [80, 3_107, 2_635]
    assert [one.refused.height for one in (machines, errors, repairs)] == [0, 0, 0]
    fleet = set(machines.records["asset_id"])
    assert set(errors.records["asset_id"]) | set(repairs.records["asset_id"]) <= fleet
    assert counted(errors, "code") == Counter(row["errorID"] for row in table(folder / "PdM_errors.csv.gz"))
    assert counted(repairs, "text") == Counter(row["comp"] for row in table(folder / "PdM_maint.csv.gz"))
    first = next(table(folder / "PdM_errors.csv.gz"))["datetime"]
    assert errors.records["event_time"][0] == int(datetime.fromisoformat(f"{first}+00:00").timestamp()) * 1_000_000


def test_an_order_log_tells_what_ran_where(recordings: Path) -> None:
    """4TU: 2,489 operations; a product that is missing is refused as the contract needs one."""
    file = recordings / "production_log_4tu" / "Production_full.csv.gz"
    expected = list(table(file, ";"))
    found = taken("production_order", file, OWN / "orders_4tu.toml")
    assert (found.rows, found.refused.height) == (len(expected), 0)
    assert counted(found, "work_center") == Counter(row["Resource.1"].strip() for row in expected)
    assert sum(found.records["planned_quantity"].drop_nulls()) == sum(float(row["Work_Order_Qty"]) for row in expected)


@pytest.mark.parametrize(
    ("kind", "place", "mapping", "count"),
    [
        ("flow", "4SICS-GeekLounge-151020/conn.log.gz", "zeek_conn.toml", 12_444),
        ("flow", "4SICS-GeekLounge-151022/dhcp.log", "zeek_dhcp.toml", 1),
        ("access", "4SICS-GeekLounge-151021/ssh.log.gz", "zeek_ssh.toml", 40),
        ("access", "4SICS-GeekLounge-151022/ssh.log.gz", "zeek_ssh.toml", 300),
        ("flow", "Modbus/conn.log", "zeek_conn.toml", None),
    ],
)
def test_logs_of_zeek_are_taken_line_by_line(
    recordings: Path, kind: str, place: str, mapping: str, count: int | None
) -> None:
    """Every line that is no heading is a record with the time, ends and identity that stand in it."""
    file = recordings / "zeek_ics" / place
    told = [line.split("\t") for line in lines(file) if not line.startswith("#")]
    found = taken(kind, file, BUNDLED / mapping)
    assert (found.rows, found.records.height, found.refused.height) == (len(told), len(told), 0)
    assert count in (None, len(told))
    assert found.records["event_time"].to_list() == [int(row[0].replace(".", "")) for row in told]
    assert found.records["source_address"].to_list() == [row[2] for row in told]
    assert found.records[0, 0].split("/")[0] == told[0][1]


def test_logons_of_a_server_are_taken_without_the_accounts_in_clear(recordings: Path) -> None:
    """OpenSSH: as many failed and accepted logons as the collection's own event templates count; no account stays."""
    folder = recordings / "loghub"
    found = taken("access", folder / "OpenSSH_2k.log.gz", BUNDLED / "openssh_auth.toml", 2025)
    templates = [row["EventTemplate"] for row in table(folder / "OpenSSH_2k.log_structured.csv.gz")]
    logons = Counter(one.split()[0] for one in templates if one.startswith(("Failed ", "Accepted ")))
    assert counted(found, "kind") == Counter(failed_logon=logons["Failed"], logon=logons["Accepted"])
    assert (found.refused.height, found.records.height + found.skipped) == (0, len(templates))
    assert all(PSEUDONYM.fullmatch(user) for user in found.records["user"])
    accounts = {line.split(" for ")[1].split(" from ")[0].removeprefix("invalid user ")
                for line in lines(folder / "OpenSSH_2k.log.gz") if "]: Failed " in line}  # fmt: skip
    assert found.records["user"].n_unique() == len({one.strip().casefold() for one in accounts} | {"fztu"})
