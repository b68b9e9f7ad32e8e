"""`plantweave ...`, also `python -m streams ...`. Enters: arguments and settings; leaves: an exit code.

0: done. 1: it failed, the text says what to do. 2: wrong arguments, settings, rules or KPI policy, all faults listed.
3: `lag` found what lags, `context load` refused rows; the text says what to do.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# One Polars thread per process: four processes on two cores decoded 1.7 times as much as one with a pool.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
# A Rust panic is an answer here (bad data), and its backtrace would cost 5 ms and 60 lines of log each time.
os.environ["RUST_BACKTRACE"] = "0"

from streams import logs, topology
from streams.settings import Settings
from streams.settings_fields import SettingsError

log = logging.getLogger(__name__)

Command = Callable[[Settings, argparse.Namespace], int]


def _worker(settings: Settings, given: argparse.Namespace) -> int:
    from streams.agents import service_factory
    from streams.core.alert.rule import RuleFaults
    from streams.core.correlate.links import LinkFaults
    from streams.core.correlate.weights import WeightFaults
    from streams.core.kpi.policy import PolicyError
    from streams.kafka.avro import contracts
    from streams.kafka.worker import main as run

    logs.setup(given.service, settings.log_level, settings.log_format)
    contracts.load_all()  # here, so that the faults of all schema files are told at once
    try:
        service = service_factory(given.service)(settings)
    except (RuleFaults, LinkFaults, WeightFaults, PolicyError) as why:  # settings too, in files of their own
        log.error("%s", why)  # noqa: TRY400 - the sentence says it
        return 2
    return run(settings, lambda _: service, given.accept_data_loss)


def _topics_create(settings: Settings, _given: argparse.Namespace) -> int:
    from streams.kafka import topics

    created = topics.create(settings)
    print(f"{len(created)} topics created" + (": " + ", ".join(created) if created else "; all were there"))
    return 0


def _topics_check(settings: Settings, _given: argparse.Namespace) -> int:
    from streams.kafka import topics

    for stage in topology.STAGES:
        inputs = [settings.topic_prefix + topic.name for topic in stage.reads]
        state = settings.topic_prefix + topology.state_topic(stage.name)
        counts = topics.partitions(settings, [*inputs, state])
        number = topics.check_co_partitioning(
            stage.name, {name: counts[name] for name in inputs}, (state, counts[state])
        )
        print(f"{stage.name}: {len(inputs)} inputs, {number} partitions each")
    return 0


def _topics_list(settings: Settings, _given: argparse.Namespace) -> int:
    for topic in topology.topics():
        print(f"{settings.topic_prefix + topic.name:28} key {topic.key:20} {topic.text}")
    return 0


def _state_reset(settings: Settings, given: argparse.Namespace) -> int:
    from streams.kafka import topics

    if not given.yes:
        print(f"this forgets all open windows and alarms of {given.service}; say --yes to do it", file=sys.stderr)
        return 2
    topics.reset_state(settings, given.service)
    print(f"{given.service}: state forgotten; it starts from the beginning of what its topics still hold")
    return 0


def _signals_discover(settings: Settings, _given: argparse.Namespace) -> int:
    from streams.agents import discover

    for row in discover.proposals(settings):
        print(json.dumps(row, ensure_ascii=False))
    return 0


def _lag(settings: Settings, given: argparse.Namespace) -> int:
    from streams import lag
    from streams.agents import window

    limits = lag.Limits(given.max_lag_s, given.max_records, given.sources)
    services = given.services or [stage.name for stage in topology.STAGES]
    as_ = "json" if given.json else "text"
    text, code = lag.told(settings, services, window.config(settings).patience, limits, as_)
    print(text)
    return code


def _context_load(settings: Settings, given: argparse.Namespace) -> int:
    from streams.core.load.faults import MappingFaults
    from streams.load import command

    logs.setup("context", settings.log_level, settings.log_format)
    try:
        text, code = command.told(settings, given)
    except MappingFaults as why:
        print(f"{given.mapping}: {why}", file=sys.stderr)
        return 2
    print(text)
    return code


def _privacy_key(_settings: Settings, given: argparse.Namespace) -> int:
    from streams.load import key

    key.make_key(given.file)
    print(f"{given.file}: key made; keep it where the loaders run, PLANTWEAVE_PSEUDONYM_KEY_FILE says where it is")
    return 0


def _plant(settings: Settings, given: argparse.Namespace) -> int:
    from streams.plant import publish

    logs.setup("plant", settings.log_level, settings.log_format)
    return publish.main(settings, given)


def parser() -> argparse.ArgumentParser:
    """The command line; `demo` is handed on to `streams.demo.run` with its own arguments."""
    top = argparse.ArgumentParser(prog="plantweave", description="Raw readings in, alerts and KPIs out, exactly once.")
    top.add_argument("--config", type=Path, help="TOML file with settings; PLANTWEAVE_* variables win over it")
    commands = top.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="run one service until told to stop")
    worker.add_argument("service", choices=[stage.name for stage in topology.STAGES])
    worker.add_argument("--accept-data-loss", action="store_true", help="go on where unread input was deleted")
    worker.set_defaults(run=_worker)
    topics = commands.add_parser("topics", help="the deployment's topics").add_subparsers(dest="what", required=True)
    topics.add_parser("create", help="create what is missing").set_defaults(run=_topics_create)
    topics.add_parser("check", help="check that they fit together").set_defaults(run=_topics_check)
    topics.add_parser("list", help="names, keys and contents").set_defaults(run=_topics_list)
    state = commands.add_parser("state", help="state of a service").add_subparsers(dest="what", required=True)
    reset = state.add_parser("reset", help="forget the state of a service (stop its workers first)")
    reset.add_argument("service", choices=[stage.name for stage in topology.STAGES])
    reset.add_argument("--yes", action="store_true", help="really")
    reset.set_defaults(run=_state_reset)
    signals = commands.add_parser("signals", help="signals").add_subparsers(dest="what", required=True)
    signals.add_parser("discover", help="dictionary rows for unknown signals, as JSON lines").set_defaults(
        run=_signals_discover
    )
    context = commands.add_parser("context", help="IT context").add_subparsers(dest="what", required=True)
    _context_arguments(context.add_parser("load", help="records from a file of an IT system, all or none"))
    privacy = commands.add_parser("privacy", help="persons").add_subparsers(dest="what", required=True)
    key = privacy.add_parser("key", help="make the key of the pseudonyms; deleting it erases whom they stand for")
    key.add_argument("file", type=Path)
    key.set_defaults(run=_privacy_key)
    _lag_arguments(commands.add_parser("lag", help="how far every task is, and what it waits for"))
    commands.add_parser("demo", help="broker, services, simulated plant and a live view", add_help=False)
    _plant_arguments(commands.add_parser("plant", help="publish the simulated bottling plant"))
    return top


def _lag_arguments(lag: argparse.ArgumentParser) -> None:
    names = [stage.name for stage in topology.STAGES]

    def service(name: str) -> str:
        if name not in names:
            raise argparse.ArgumentTypeError(f"invalid choice: {name!r} (choose from {', '.join(names)})")
        return name

    lag.add_argument("services", nargs="*", type=service, metavar="SERVICE", help=f"{', '.join(names)}; default: all")
    lag.add_argument("--json", action="store_true", help="one JSON object")
    lag.add_argument("--max-lag-s", type=float, default=60.0, help="tell of watermarks further behind now (60)")
    lag.add_argument("--max-records", type=int, default=100_000, help="tell of more offsets that wait (100000)")
    lag.add_argument("--sources", type=int, default=5, help="sources shown per task and status, slowest first (5)")
    lag.set_defaults(run=_lag)


def _context_arguments(load: argparse.ArgumentParser) -> None:
    from streams.load import command

    command.add_arguments(load)
    load.set_defaults(run=_context_load)


def _plant_arguments(plant: argparse.ArgumentParser) -> None:
    from streams.plant import publish

    publish.add_arguments(plant)
    plant.set_defaults(run=_plant)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["demo"]:
        from streams.demo.run import main as demo

        return demo(words[1:])
    given = parser().parse_args(words)
    try:
        settings = Settings.load(os.environ, given.config)
    except SettingsError as why:
        print(why, file=sys.stderr)
        return 2
    try:
        code: int = given.run(settings, given)
    except KeyboardInterrupt:
        return 130
    except Exception as why:
        said = _said(why, settings)
        if said is None:
            raise
        print(f"plantweave {given.command}: {said}", file=sys.stderr)
        return 1
    return code


def _said(why: Exception, settings: Settings) -> str | None:
    """The sentence for what can go wrong without a fault of the code; None for everything else."""
    from aiokafka.errors import KafkaError
    from confluent_kafka import KafkaException

    from streams.kafka.avro.contracts import ContractError
    from streams.kafka.avro.registry import RegistryError
    from streams.kafka.state import StateFault
    from streams.kafka.topics import TopicFault
    from streams.kafka.versions import VersionFault
    from streams.load.formats import FileFault
    from streams.load.key import KeyFault
    from streams.load.publish import NotSent

    if isinstance(why, (KafkaException, KafkaError, TimeoutError)):
        error = why.args[0].str() if isinstance(why, KafkaException) else repr(why)
        servers = settings.bootstrap_servers
        return f"{error}. Is Kafka up at {servers}? PLANTWEAVE_BOOTSTRAP_SERVERS says where it is."
    known = (ContractError, FileFault, KeyFault, NotSent, RegistryError, StateFault, TopicFault, VersionFault, OSError)
    return str(why) or repr(why) if isinstance(why, known) else None
