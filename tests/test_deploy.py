"""The deployment files say the same as the topology, the settings and the command line."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams import topology
from streams.cli import parser
from streams.kafka.embedded.jars import read_lock
from streams.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("plantweave:")}
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()


def instructions(name: str) -> list[str]:
    """Arguments of each instruction of that name in the Dockerfile, continued lines joined."""
    return [line.removeprefix(name).strip() for line in DOCKERFILE if line.startswith(f"{name} ")]


def test_one_container_per_service() -> None:
    """Every stage of the topology runs as the container of its name, and no container runs anything else."""
    workers = {name: service["command"] for name, service in OURS.items() if service["command"][0] == "worker"}
    assert workers == {stage.name: ["worker", stage.name] for stage in topology.STAGES}


@pytest.mark.parametrize("name", sorted(OURS))
def test_command_and_settings_are_accepted(name: str) -> None:
    """What a container is told is a command that the command line knows, with settings that load without a fault."""
    assert parser().parse_args(OURS[name]["command"]).command == OURS[name]["command"][0]
    settings = Settings.load(OURS[name]["environment"])
    assert settings.bootstrap_servers == "kafka:9092"


def test_workers_are_watched_and_wait_for_their_topics() -> None:
    """Each worker has a health check on the port that it serves, and starts once the topics are there."""
    for stage in topology.STAGES:
        worker = SERVICES[stage.name]
        port = Settings.load(worker["environment"]).http_port
        assert f"http://127.0.0.1:{port}/live" in worker["healthcheck"]["test"][-1]
        assert worker["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert SERVICES["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert SERVICES["kafka"]["healthcheck"]["test"]


def test_published_on_loopback_only() -> None:
    """No port is published to other machines."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_same_kafka_everywhere() -> None:
    """The image is the release that the tests run on; no image floats with a tag like latest."""
    kafka = next(jar.version for jar in read_lock() if jar.artifact == "kafka_2.13")
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka}"
    assert all(re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"]) for service in SERVICES.values())


def test_prometheus_scrapes_every_worker() -> None:
    """Prometheus asks all workers of all stages, on the port that they serve."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    [job] = config["scrape_configs"]
    [found] = job["dns_sd_configs"]
    assert set(found["names"]) == {stage.name for stage in topology.STAGES}
    ports = {Settings.load(SERVICES[stage.name]["environment"]).http_port for stage in topology.STAGES}
    assert {found["port"]} == ports


def test_image_is_locked_and_unprivileged() -> None:
    """Every package of the image comes by hash or from the build itself, and the services do not run as root."""
    steps = [step for run in instructions("RUN") for step in run.split("&&")]
    installs = [step for step in steps if re.search(r"pip (install|wheel)", step)]
    assert len(installs) == 4
    assert all(
        "--require-hashes" in step or "--no-index" in step or "--no-build-isolation" in step for step in installs
    )
    assert instructions("USER") == ["plantweave"]
    assert instructions("ENTRYPOINT") == ['["plantweave"]']


def test_image_copies_what_exists() -> None:
    """Each path that the Dockerfile copies is in the repository and in the build context."""
    context = (ROOT / ".dockerignore").read_text().splitlines()
    for arguments in instructions("COPY"):
        if arguments.startswith("--from"):
            continue
        for source in arguments.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in context
