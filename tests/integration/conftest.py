"""One real broker per test process; tests keep apart by their own topic and group names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.kafka.embedded.node import EmbeddedKafka

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist, the tests of a file run one after another in one process, and share its broker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A running broker; a test that stops or restarts one starts its own instead."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def bootstrap(broker: EmbeddedKafka) -> str:
    """Address of the running broker, `127.0.0.1:PORT`."""
    return broker.bootstrap
