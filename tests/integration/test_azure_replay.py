"""The sequences of a fleet through `route` and `correlate` on a real broker, as `make evaluate` plays azure_pdm."""

from __future__ import annotations

from pathlib import Path

from tests.evaluation import azure
from tests.evaluation.azure_replay import through_core, through_services
from tests.evaluation.azure_set import recording


def test_services_say_what_the_core_says(bootstrap: str, tmp_path: Path) -> None:
    """Of errors on both partitions over months, with repeats and work orders that are known only weeks later."""
    errors = [
        f"2015-0{month}-{day:02} {machine:02}:00:00,{machine},error{1 + (day + machine) % 5}"
        for month in (1, 2)
        for day in range(1, 29, 3)
        for machine in range(1, 6)
    ]
    maint = [f"2015-01-{10 + machine} 03:00:00,{machine},comp{machine % 4 + 1}" for machine in range(1, 6)]
    machines = [f"{machine},model{1 + machine % 4},5" for machine in range(1, 6)]
    folder = recording(tmp_path, machines=machines, errors=errors, maint=maint) / azure.NAME
    loaded, rules = azure.read(folder), azure.rules()
    core, lines = through_core(rules, loaded), list[str]()
    own = {"bootstrap_servers": bootstrap, "topic_prefix": "azure-replay."}
    played = through_services(loaded, own, tmp_path, lines.append)
    assert azure.differences(core.alerts, played.alerts) == []
    assert played.lost == []
    assert len(played.evidence) == len(errors)
    plain = {name for name in azure.standing(core.alerts) if name.startswith("plain")}
    aged = azure.standing(core.alerts).keys() - plain
    assert 0 < len(aged) < len(plain)  # work orders and models matter here
    assert "errors sent" in lines[0]
