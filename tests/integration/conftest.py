"""One real broker for all integration tests of a run; tests keep apart by their own topic and group names."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.kafka.embedded.node import EmbeddedKafka

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist, all tests of this folder run one after another in one process: one broker serves them."""
    for item in items:
        if HERE in item.path.parents and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("broker"))


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A running broker; a test that stops or restarts one starts its own instead."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def bootstrap(broker: EmbeddedKafka) -> str:
    """Address of the running broker, `127.0.0.1:PORT`."""
    return broker.bootstrap
