"""Bad input through the real broker and real workers: each ends where it should, its neighbours survive.

All cases (`bad_input.CASES`) are appended before the workers start, so that they share chunks, and once more while they
run.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from streams import topology
from tests.chaos.deployment import Deployment
from tests.integration import bad_input, harness
from tests.integration.bad_input import CASES, SURVIVORS, VALIDATED_CASES, Case
from tests.integration.registry_server import registry

pytestmark = pytest.mark.timeout(180)

# What a topic takes where nobody set anything: 1 MiB and the overhead of a record batch.
STOCK_LIMIT: Final = 1_048_588
UNKNOWN_READINGS: Final = 3


class Outcome(NamedTuple):
    """What came of all cases; `offsets` of their first records, by name."""

    target: Deployment
    ports: dict[str, int]
    pids: dict[str, int]
    offsets: dict[str, int]
    readings: dict[str, list[harness.Reading]]
    rejects: list[dict[str, Any]]


def _stock_limits(target: Deployment) -> None:
    """Output topics take no more than a broker as installed allows."""
    client = AdminClient({"bootstrap.servers": target.bootstrap, "log_level": 0})
    entry = ConfigEntry("max.message.bytes", str(STOCK_LIMIT), incremental_operation=AlterConfigOpType.SET)
    names = [target.prefix + topic.name for topic in topology.topics() if topic.folder[:2] > "10"]
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry]) for name in names]
    for future in client.incremental_alter_configs(resources).values():
        future.result(20)


def _unknown(target: Deployment) -> None:
    """Readings of a signal that the dictionary does not name."""
    values = [bad_input.reading("unknown", second, value_double=second + 0.5) for second in range(UNKNOWN_READINGS)]
    batch = harness.Batch(bad_input.RAW, [harness.Raw(value) for value in values])
    asyncio.run(harness.send(target, [batch]))


def _aborted(target: Deployment) -> None:
    """A committed reading, an aborted one, and a committed one."""
    producer = Producer(
        {"bootstrap.servers": target.bootstrap, "transactional.id": f"{target.prefix}edge", "log_level": 0}
    )
    producer.init_transactions(60)
    for second, end in (
        (1, producer.commit_transaction),
        (5, producer.abort_transaction),
        (2, producer.commit_transaction),
    ):
        producer.begin_transaction()
        value = bad_input.reading("aborted", second, value_double=float(second))
        producer.produce(target.prefix + bad_input.RAW, value, b"edge", partition=0)
        producer.flush(30)
        end(60)


@pytest.fixture(scope="module")
def outcome(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """Every case appended, then `validate` and `window` started and all of it processed."""
    folder = tmp_path_factory.mktemp("bad-input")
    schemas = {ident: json.dumps(schema) for ident, schema in bad_input.SCHEMA_IDS.items()}
    with registry(schemas) as url:
        target = harness.deploy(
            bootstrap, folder, ("validate", "window"), registry_url=url, idle_after_ms=500, log_level="warning"
        )
        target.env["PLANTWEAVE_LOG_LEVEL"] = "info"
        _stock_limits(target)
        harness.write_dictionary(target, bad_input.dictionary())
        cases = (*CASES, *VALIDATED_CASES)
        offsets = asyncio.run(harness.send(target, [case.batch for case in cases]))
        _unknown(target)
        _aborted(target)
        try:
            ports = harness.start(target, "validate", "window")
            harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")
            yield Outcome(
                target,
                ports,
                {service: target.workers[f"{service}-0"].pid for service in ports},
                {case.name: offset for case, offset in zip(cases, offsets, strict=True)},
                _by_case(target, offsets[len(CASES) :]),
                harness.rows(target, topology.REJECTED),
            )
        finally:
            target.stop()


def _by_case(target: Deployment, by_hand: list[int]) -> dict[str, list[harness.Reading]]:
    """Readings that `validate` wrote, by case; the batches appended to its output begin at `by_hand`."""
    without = {
        offset + number
        for case, offset in zip(VALIDATED_CASES, by_hand, strict=True)
        for number in range(len(case.batch.records))
    }
    found = defaultdict(list)
    for item in harness.validated(target, without):
        found[item.signal.removeprefix("signal-")].append(item)
    return found


def _rejects(outcome: Outcome, case: Case) -> list[tuple[str, int, int | None]]:
    """Reason, record and place of the rejects whose coordinates lie in the batch of a case."""
    base = outcome.offsets[case.name]
    return [
        (item["reason"], item["offset"] - base, item["position"])
        for item in outcome.rejects
        if item["topic"] == case.batch.topic
        and item["partition"] == 0
        and base <= item["offset"] < base + len(case.batch.records)
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_good_readings_of_the_same_batch_survive(outcome: Outcome, case: Case) -> None:
    """In their order, with the value and the quality they came with."""
    found = [(item.value, item.quality) for item in outcome.readings[case.name]]
    assert found == list(case.readings)


@pytest.mark.parametrize("case", [*CASES, *VALIDATED_CASES], ids=lambda case: case.name)
def test_what_cannot_be_interpreted_is_rejected_with_reason_and_coordinates(outcome: Outcome, case: Case) -> None:
    """Exactly the bad records of the batch, each once: topic, partition, offset and the place in the record."""
    assert _rejects(outcome, case) == list(case.rejects)


def test_nothing_else_is_rejected(outcome: Outcome) -> None:
    """As many rejects as the cases have, and the counters of the workers say the same."""
    expected = Counter(reject.reason for case in (*CASES, *VALIDATED_CASES) for reject in case.rejects)
    assert Counter(item["reason"] for item in outcome.rejects) == expected
    counted: Counter[str] = Counter()
    for port in outcome.ports.values():
        for sample in harness.metrics(port)[1]:
            if sample.name == "plantweave_rejects_total":
                counted[sample.labels["reason"]] += int(sample.value)
    assert counted == expected


def test_a_reject_says_what_is_wrong_and_shows_the_first_bytes(outcome: Outcome) -> None:
    """Every reject has a detail; of a 10 MB value only the first 1,024 bytes are kept."""
    assert all(item["detail"] for item in outcome.rejects)
    large = next(item for item in outcome.rejects if len(item["detail"]) and "10000" in item["detail"])
    assert (large["reason"], len(large["payload"])) == ("too_large", 1024)


def test_an_unknown_signal_is_one_inventory_record_and_no_reject(outcome: Outcome) -> None:
    """First and last seen, count, type and range; its readings are neither published nor rejected."""
    (found,) = harness.rows(outcome.target, topology.UNKNOWN)
    assert (found["source_id"], found["address"]) == ("edge-unknown", "t")
    assert (found["count"], found["value_type"]) == (UNKNOWN_READINGS, "double")
    assert (found["low"], found["high"]) == (0.5, 2.5)
    begin = bad_input.BASE
    assert [harness.microseconds(found[name]) for name in ("first_seen", "last_seen")] == [begin, begin + 2_000_000]
    assert "unknown" not in outcome.readings


def test_signals_discover_proposes_a_dictionary_row_per_unknown_signal(outcome: Outcome) -> None:
    """JSON lines on the standard output: identity, source, role and period; the line is left to fill in."""
    done = harness.run(outcome.target, "signals", "discover")
    assert done.returncode == 0, done.stderr
    (proposed,) = map(json.loads, done.stdout.splitlines())
    assert (proposed["source_id"], proposed["address"]) == ("edge-unknown", "t")
    assert (proposed["role"], proposed["work_center"], proposed["period_ms"]) == ("measurement", "", 1000)


def test_an_aborted_transaction_leaves_nothing(outcome: Outcome) -> None:
    """The committed readings around it pass, the aborted one is neither published nor rejected."""
    assert [(item.value, item.quality) for item in outcome.readings["aborted"]] == SURVIVORS


def test_a_value_out_of_the_instrument_range_says_so(outcome: Outcome) -> None:
    """It passes as uncertain with the flag 8, so that its alarm can fire."""
    assert [item.flags & 8 for item in outcome.readings["out-of-range"]] == [0, 8, 0]


def test_the_windows_hold_every_good_reading_once(outcome: Outcome) -> None:
    """Also those whose neighbours in ot.reading.v1 are no records; bad values are counted as bad."""
    expected = {f"signal-{case.name}": len(case.readings) for case in (*CASES, *VALIDATED_CASES)}
    expected["signal-aborted"] = 2

    def counted() -> dict[str, int]:
        rows = sorted(harness.rows(outcome.target, topology.WINDOW), key=lambda row: int(row["revision"]))
        latest = {row["window_id"]: row for row in rows}
        found: Counter[str] = Counter()
        for row in latest.values():
            found[row["signal_id"]] += row["count"] + row["count_bad"]
        return dict(found)

    harness.until(lambda: len(counted()) == len(expected), "a window of every signal", 30)
    assert counted() == expected


def test_the_workers_live_and_go_on(outcome: Outcome) -> None:
    """Everything again, batch by batch, while they run: the same processes, ready, no lag, as many rejects more."""
    target, cases = outcome.target, (*CASES, *VALIDATED_CASES)
    for case in cases:
        asyncio.run(harness.send(target, [case.batch]))
    harness.until(lambda: target.settle(0) == 0, "all positions to reach the end")
    rejects = harness.rows(target, topology.REJECTED)
    assert len(rejects) == 2 * len(outcome.rejects)
    assert target.dead() == []
    for service, port in outcome.ports.items():
        assert target.workers[f"{service}-0"].pid == outcome.pids[service]
        assert harness.get(port, "/ready")[0] == 200
        assert harness.get(port, "/live")[0] == 200
