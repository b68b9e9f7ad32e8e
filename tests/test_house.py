"""What keeps the code base small, pure and reproducible holds by test, not by habit."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "streams").rglob("*.py"))
MODULE_LINES = 250
FUNCTION_LINES = 40


def pins(name: str) -> dict[str, str]:
    """Package and version of each pin of a lock file."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))


def test_modules_and_functions_stay_short() -> None:
    """No module of the package is longer than 250 lines, no function longer than 40."""
    too_long = []
    for path in SOURCES:
        text = path.read_text()
        too_long += [f"{path.name}: {len(text.splitlines())} lines"] if len(text.splitlines()) > MODULE_LINES else []
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                too_long += [f"{path.name}, {node.name}: {lines} lines"] if lines > FUNCTION_LINES else []
    assert too_long == []


def test_topics_are_named_in_the_topology_only() -> None:
    """No other module of the package spells a public topic's name: it takes `topology.X.name`."""
    spelt = [
        f"{path.name}, line {node.lineno}: {node.value}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"(ot|it|ops)\.\S*\.v\d+", node.value)
    ]
    assert spelt
    assert [place for place in spelt if not place.startswith("topology.py,")] == []


@pytest.mark.parametrize(
    "line",
    [
        "import faust",
        "import aiokafka",
        "from confluent_kafka import Producer",
        "import time",
        "from time import monotonic",
        "import random",
        "import numpy as np; np.random.default_rng()",
        "from datetime import datetime; datetime.now()",
        "from streams.kafka import embedded",
        "import os; os.environ",
    ],
)
def test_core_cannot_reach_out(line: str) -> None:
    """The linter refuses engines, clocks, chance and the environment in streams/core, and only there."""
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--quiet", "--stdin-filename"]

    def verdict(file: str) -> int:
        done = subprocess.run(
            [*command, file, "-"], cwd=ROOT, input=line + "\n", text=True, capture_output=True, check=False
        )
        return done.returncode

    assert verdict("streams/core/probe.py") == 1
    assert verdict("streams/kafka/probe.py") == 0


@pytest.mark.parametrize("name", ["runtime", "dev", "bench", "build"])
def test_every_requirement_has_a_hash(name: str) -> None:
    """Each pin of a lock file carries SHA-256 hashes, and no lock file names an address to fetch from."""
    lines = [line.rstrip(" \\") for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()]
    wanted = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert wanted
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+( ; .*)?| +--hash=sha256:[0-9a-f]{64}", line) for line in wanted)
    for line, following in zip(wanted, [*wanted[1:], ""], strict=True):
        assert "--hash" in line or "--hash" in following, f"{line} has no hash"


def test_locks_agree_with_the_project() -> None:
    """Every dependency is locked, in the same version for users and for developers."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[<>=;\[ ]", dependency)[0] for dependency in project["dependencies"]}
    assert named <= pins("runtime").keys()
    assert pins("runtime").items() <= pins("dev").items()
