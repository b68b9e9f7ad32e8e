"""The invariant of event time over the whole chain: what was told last of anything is a function of what was measured.

Raw messages of five edge nodes go through `validate` into `ot.reading.v1` by line, and from there through `window`,
`alert` and `kpi`, in any order, with copies, contradictions, spells offline, restarts and pauses; the outcome is that
of a plain computation over all readings at once (`chain_reference`).

Left out, because it is not promised (docs/decisions):
- Clocks (16). No plan has a skewed source, for when a skew is known depends on the order of arrival: stamps agree with
  when they were seen, come late with no gateway's word on it, or are single impossible ones.
- The choice between two gateways (17) follows the log. Its outcome is checked against that rule on the log as it came
  to be; where two arrivals of one plan are compared, the redundant signal is left out.
- Messages with one number and different contents: the first one counts, whichever that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.alert.stage import Alert
from streams.core.kpi.progress import KpiConfig
from streams.core.kpi.stage import Kpi
from streams.core.redundancy.selected import Selected
from streams.core.redundancy.selection import Redundancy
from streams.core.window.aggregate import PAYLOAD
from streams.core.window.stage import Window, WindowConfig
from tests.core.alert_scene import rule
from tests.core.kpi_run import policy
from tests.core.test_kpi_invariant import EARNED, ELEMENTS
from tests.simulation.chain_check import (
    alerts_of,
    check_alerts,
    check_kpis,
    check_places,
    check_rings,
    check_validated,
    check_windows,
    latest,
    windows_of,
)
from tests.simulation.chain_plan import END, LINES, REDUNDANT, SPOKEN, Arrival, arrivals, messages
from tests.simulation.chain_reference import SILENCE
from tests.simulation.chain_run import Chain, Make
from tests.simulation.reference import SECOND

HORIZON = 7200 * SECOND
RULES = (
    rule("hot", "high = 85.0\ndeadband = 3.0\non_delay_s = 2.0\noff_delay_s = 3.0"),
    rule("fault", 'states = ["fault"]\non_delay_s = 1.0', type='"state"', select='role = "state"'),
    rule("set", "off_delay_s = 2.0", type='"change"', select='role = "measurement"\nsignal_id = "pressure"'),
)
POLICY = policy()
# Of a KPI; whether its period was over before anything of it came depends on when that came.
TOLD = ("value", "period_start", "period_end", "coverage", "share_uncertain", *ELEMENTS, *EARNED)
SEEDS = st.integers(0, 2**32)


def windowing(memory_us: int = 20 * SECOND) -> Selected:
    """The stage `window` as the service runs it, with so much in memory; the rest is read from the log again."""
    return Selected(Window(WindowConfig(correction_horizon_us=HORIZON, memory_us=memory_us)), Redundancy())


def alerting() -> Alert:
    """The stage `alert`."""
    return Alert(RULES)


def kpis() -> Kpi:
    """The stage `kpi`."""
    config = KpiConfig(silence_us=SILENCE, update_s=5.0, periods=("hour", "shift", "order"))
    return Kpi(POLICY, config)


STAGES: dict[str, Make] = {"window": windowing, "alert": alerting, "kpi": kpis}


@st.composite
def plans(draw: st.DrawFn, names: Sequence[str] = SPOKEN) -> list[Arrival]:
    """Messages and a way for them to arrive."""
    return draw(arrivals(draw(messages(names))))


@given(plans(), SEEDS)
@settings(max_examples=30)
def test_windows_are_those_of_the_reference(plan: list[Arrival], seed: int) -> None:
    """Windows of all signals, none missing and none too many; each raw reading is accounted for exactly once."""
    chain = Chain({"window": lambda: windowing(HORIZON)}, seed).run(plan)
    check_windows(chain, check_validated(chain, plan))


@given(plans(names=("state", "good", "reject", "temperature")), SEEDS)
@settings(max_examples=12)
def test_kpis_are_those_of_the_reference(plan: list[Arrival], seed: int) -> None:
    """The KPIs of every hour, shift and order that ended, with their elements."""
    chain = Chain({"kpi": kpis}, seed).run(plan)
    chain.settle("kpi", (60, 3600, 7200))
    check_kpis(chain, check_validated(chain, plan))


@given(plans(names=("state", "temperature", "pressure")), SEEDS)
@settings(max_examples=15)
def test_alerts_are_those_of_the_reference(plan: list[Arrival], seed: int) -> None:
    """Begin and end of every alert; nothing rings twice, and nothing that was over before it was known."""
    chain = Chain({"alert": alerting}, seed).run(plan)
    check_alerts(chain, check_validated(chain, plan))
    check_rings(chain)


@st.composite
def twice(draw: st.DrawFn) -> tuple[list[Arrival], list[Arrival]]:
    """One set of messages, with copies of its own each time, and two ways for them to arrive."""
    sent = draw(messages())
    return draw(arrivals(sent)), draw(arrivals(sent))


@given(twice(), SEEDS, SEEDS)
@settings(max_examples=6)
def test_two_arrivals_tell_the_same(plans: tuple[list[Arrival], list[Arrival]], one: int, other: int) -> None:
    """Any order, cut, copies and restarts: equal bits in the latest windows, KPIs of ended periods, and alerts."""
    first, second = (_told(plan, seed) for plan, seed in zip(plans, (one, other), strict=True))
    differing = {key: (first.get(key), second.get(key)) for key in first | second if first.get(key) != second.get(key)}
    assert not differing


def _told(plan: list[Arrival], seed: int) -> dict[str, Any]:
    """What was told last, without how it came about, and but for the signal that two gateways tell."""
    chain = Chain(STAGES, seed).run(plan)
    chain.settle("kpi", (60, 3600, 7200))
    found: dict[str, Any] = {}
    for line in LINES:
        for (name, length, start), row in windows_of(chain.tasks["window", line]).items():
            if row["window_end"] <= END and name not in REDUNDANT:
                found[f"{name}/{length}/{start}"] = {field: row[field] for field in PAYLOAD}
    final = latest([row for row in chain.out("kpi", "ops.kpi.v1") if row["work_unit"] == "filler"], "kpi_id")
    found |= {key: {name: row[name] for name in TOLD} for key, row in final.items() if row["final"]}
    return found | {str(alert): True for alert in alerts_of(chain)}


@given(plans(), SEEDS, st.integers(5, 60), st.sampled_from((2, 20, 7200)))
@settings(max_examples=10)
def test_what_is_beyond_the_horizon_is_told_as_late(
    plan: list[Arrival], seed: int, horizon_s: int, memory_s: int
) -> None:
    """With a short horizon, too, each reading ends in one place: in a window, as a repeat, as standby, or as late."""
    config = WindowConfig(correction_horizon_us=horizon_s * SECOND, memory_us=memory_s * SECOND)
    chain = Chain({"window": lambda: Selected(Window(config), Redundancy())}, seed).run(plan)
    check_validated(chain, plan)
    check_places(chain)


@given(plans(), SEEDS, st.sampled_from((0, 1, 5, 20, 60)))
@settings(max_examples=20)
def test_windows_beyond_memory_are_those_of_the_reference(plan: list[Arrival], seed: int, memory_s: int) -> None:
    """However little is in memory: what the log is read again for leaves the same windows and counts."""
    chain = Chain({"window": lambda: windowing(memory_s * SECOND)}, seed).run(plan)
    check_windows(chain, check_validated(chain, plan))
