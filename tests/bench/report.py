"""What the runs say: medians, ratios against what is expected, a table, a plot.

In: the measurements of each engine, stage and shape. Out: the rows and ratios of `build/bench.json`, a table for the
terminal and `build/bench.png`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

Row = dict[str, Any]


@dataclass(frozen=True)
class Expectation:
    """Ours in one stage and shape against another row: rate at least `rate` times, CPU at most `cpu` times."""

    stage: str
    shape: str
    engine: str
    engine_shape: str
    rate: float
    cpu: float | None = None


OURS: Final = "plantweave"
EXPECTED: Final = (
    Expectation("window", "single", "flink-eos", "single", 1.0, 0.6),
    Expectation("window", "single", "flink-eos-prekeyed", "single", 1.0, 0.6),
    Expectation("window", "single", "kafka-streams-eos", "single", 2.0),
    Expectation("window", "single", "quixstreams", "single", 20.0),
    Expectation("window", "single", "faust", "single", 50.0),
    Expectation("chain", "single", "kafka-streams-eos", "single", 1.0),
    Expectation("window", "batch100", OURS, "single", 2.0),
)


def row(engine: str, stage: str, shape: str, rates: Sequence[float], cpu: Sequence[float], note: str) -> Row:
    """One row of the result; without rates the figures are None and the note says why."""
    return {
        "engine": engine,
        "stage": stage,
        "shape": shape,
        "rate_min": round(min(rates)) if rates else None,
        "rate_median": round(median(rates)) if rates else None,
        "rate_max": round(max(rates)) if rates else None,
        "cpu_s_per_million": round(median(cpu), 3) if cpu else None,
        "note": note,
    }


def ratios(rows: Sequence[Row]) -> list[Row]:
    """Ours against each expectation whose two rows have figures: the ratios and whether they are met."""
    found: Mapping[tuple[str, str, str], Row] = {
        (row["engine"], row["stage"], row["shape"]): row for row in rows if row["rate_median"] is not None
    }
    out = []
    for wanted in EXPECTED:
        ours = found.get((OURS, wanted.stage, wanted.shape))
        other = found.get((wanted.engine, wanted.stage, wanted.engine_shape))
        if not ours or not other:
            continue
        rate = ours["rate_median"] / other["rate_median"]
        cpu = ours["cpu_s_per_million"] / other["cpu_s_per_million"]
        out.append(
            {
                "stage": wanted.stage,
                "shape": wanted.shape,
                "against": f"{wanted.engine}/{wanted.engine_shape}",
                "rate_ratio": round(rate, 2),
                "rate_expected": wanted.rate,
                "cpu_ratio": round(cpu, 2),
                "cpu_expected": wanted.cpu,
                "met": rate >= wanted.rate and (wanted.cpu is None or cpu <= wanted.cpu),
            }
        )
    return out


def table(result: Mapping[str, Any]) -> str:
    """The result as text for a terminal."""
    lines = [
        f"{'engine':<18} {'stage':<7} {'shape':<10} {'readings/s':>11} {'min':>10} {'max':>10} {'CPU s/M':>8} note"
    ]
    for one in result["rows"]:
        figures = [one["rate_median"], one["rate_min"], one["rate_max"]]
        numbers = [f"{figure:,}" if figure is not None else "-" for figure in figures]
        cpu = f"{one['cpu_s_per_million']:.2f}" if one["cpu_s_per_million"] is not None else "-"
        columns = f"{numbers[0]:>11} {numbers[1]:>10} {numbers[2]:>10} {cpu:>8} {one['note']}"
        lines.append(f"{one['engine']:<18} {one['stage']:<7} {one['shape']:<10} {columns}")
    for one in result["ratios"]:
        cpu = f", CPU {one['cpu_ratio']}x (at most {one['cpu_expected']}x)" if one["cpu_expected"] else ""
        lines.append(
            f"{OURS} {one['stage']}/{one['shape']} against {one['against']}: {one['rate_ratio']}x "
            f"(at least {one['rate_expected']}x){cpu}: {'met' if one['met'] else 'NOT MET'}"
        )
    for load in result.get("latency", ()):
        times = f"p50 {load['p50_ms']} ms, p99 {load['p99_ms']} ms"
        lines += [f"latency, {load['load']} ({load['sent_per_s']:,} readings/s): {times}"]
    if memory := result.get("memory"):
        lines.append(f"memory of {memory['service']} behind a blocked downstream: {memory['rss_mib_blocked']} MiB")
    return "\n".join(lines)


def plot(result: Mapping[str, Any], path: Path) -> None:
    """Bars of the median rates, logarithmic, one panel per stage and shape; whiskers from the lowest to the highest."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = [one for one in result["rows"] if one["rate_median"] is not None]
    panels = sorted({(one["stage"], one["shape"]) for one in rows}, reverse=True)
    rows_of = len(panels) or 1
    figure, axes = plt.subplots(rows_of, 1, figsize=(9, 0.8 + 1.9 * rows_of), sharex=True, squeeze=False)
    for axis, (stage, shape) in zip(axes[:, 0], panels, strict=False):
        chosen = [one for one in rows if (one["stage"], one["shape"]) == (stage, shape)][::-1]
        rates = [one["rate_median"] for one in chosen]
        spread = [
            [one["rate_median"] - one["rate_min"] for one in chosen],
            [one["rate_max"] - one["rate_median"] for one in chosen],
        ]
        colours = ["#1b6ca8" if one["engine"] == OURS else "#9aa5b1" for one in chosen]
        bars = axis.barh([one["engine"] for one in chosen], rates, xerr=spread, color=colours, capsize=2)
        axis.bar_label(bars, labels=[f"{rate:,}" for rate in rates], padding=6, fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(1_000, 20_000_000)
        axis.set_title(f"{stage}, {shape}", fontsize=9, loc="left")
    axes[-1, 0].set_xlabel("readings per second (logarithmic), outputs verified")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
