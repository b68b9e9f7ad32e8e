"""What the plant consists of: units, products, edge nodes and signals. Constants and frozen tables, nothing that moves.

Units of measurement are UCUM codes; times are microseconds; quality codes are those of the source's own scheme.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

SITE: Final = "bottling"
ENTERPRISE: Final = "plantweave"
AREA: Final = "filling-hall"
UNITS: Final = ("filler", "capper", "labeller", "packer")
FILLER, CAPPER, LABELLER, PACKER = range(4)

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US

# Machine states as the controllers number them, and what the numbers mean.
STATES: Final = ("stopped", "running", "starved", "blocked", "setup", "fault")
STOPPED, RUNNING, STARVED, BLOCKED, SETUP, FAULT = range(6)

# 16-bit counters of the controllers.
ROLLOVER: Final = 65_535
# Where total, good and reject counters of a unit stand at the start: one rolls over soon, so that it is seen to work.
COUNTER_START: Final = {"total": 65_400, "good": 61_000, "reject": 120}

# Time an item takes from one unit to the next; a stop passes to the neighbours after it.
CONVEYOR_US: Final = 3 * SECOND_US
# Share of items each unit rejects in good order, and one whose torque is wrong.
REJECT_SHARE: Final = (0.004, 0.008, 0.003, 0.002)
SCRAP_SHARE: Final = 0.25


@dataclass(frozen=True)
class Product:
    """What a line makes: fill volume in ml, planned run time per item (ISO 22400 PRI) and real speed in items per s."""

    name: str
    fill_ml: float
    planned_run_time_s: float
    speed_per_s: float


PRODUCTS: Final = (
    Product("Still water 0.5 l", 500.0, 0.125, 7.4),
    Product("Lemonade 0.5 l", 500.0, 0.14, 6.6),
    Product("Sparkling water 1.0 l", 1000.0, 0.2, 4.7),
)

# The bearing of the filler: warms by so much per s until the machine trips, cools with a time constant afterwards.
BEARING_NORMAL_CELSIUS: Final = 62.0
BEARING_TRIP_CELSIUS: Final = 95.0
BEARING_RISE_CELSIUS_PER_S: Final = 1.2
BEARING_COOLING_S: Final = 25.0
BEARING_WARMING_US: Final = int(
    (BEARING_TRIP_CELSIUS - BEARING_NORMAL_CELSIUS) / BEARING_RISE_CELSIUS_PER_S * SECOND_US
)

Scheme = Literal["opcua", "opcda", "sparkplug"]
# (good, uncertain, bad). OPC UA: Good, UncertainSensorNotAccurate, BadSensorFailure (Part 4 and 8); OPC DA 3.0:
# good, sensor not accurate, sensor failure; Sparkplug 3.0 knows good, stale and bad, and no uncertain.
QUALITY_CODES: Final[dict[Scheme, tuple[int, int, int]]] = {
    "opcua": (0x00000000, 0x40930000, 0x808C0000),
    "opcda": (0xC0, 0x50, 0x10),
    "sparkplug": (192, 500, 0),
}


@dataclass(frozen=True)
class Signal:
    """One kind of signal of one kind of unit, as the dictionary describes it for the first line.

    `value` names the function in `values.py`; `period_ms` is the sampling period, None where events alone bring
    readings; `spread` is the share of the period by which a sample may come later (1: reported on change, whenever
    that happens). `whole`: sent as an integer. `known` is False for the signal that nobody entered into the dictionary.
    """

    unit: int
    name: str
    value: str
    role: str = "measurement"
    ucum: str | None = None
    ucum_raw: str | None = None
    factor: float = 1.0
    offset: float = 0.0
    instrument: tuple[float, float] | None = None
    engineering: tuple[float, float] | None = None
    period_ms: int | None = None
    spread: float = 0.02
    rollover: int | None = None
    setpoint_of: str | None = None
    known: bool = True
    whole: bool = False

    @property
    def reporting(self) -> str:
        """`periodic` or `on_change`."""
        return "on_change" if self.period_ms is None or self.spread == 1.0 else "periodic"


def _common(unit: int) -> tuple[Signal, ...]:
    counters = tuple(
        Signal(
            unit,
            f"{kind}-count",
            f"count_{kind}",
            role=f"{kind}_counter",
            ucum="{item}",
            ucum_raw="{item}",
            period_ms=500,
            rollover=ROLLOVER,
            whole=True,
        )
        for kind in ("total", "good", "reject")
    )
    current = Signal(
        unit,
        "motor-current",
        "motor_current",
        ucum="A",
        ucum_raw="mA",
        factor=0.001,
        instrument=(0.0, 50.0),
        engineering=(0.5, 30.0),
        period_ms=50,
    )
    return (Signal(unit, "state", "state", role="state", whole=True), *counters, current)


def _bearing(line: int) -> Signal:
    # Odd lines send degrees Fahrenheit, even lines tenths of a degree Celsius as integers: both become Celsius.
    tenths = line % 2 == 1
    return Signal(
        FILLER,
        "bearing-temperature",
        "bearing_temperature",
        ucum="Cel",
        ucum_raw="Cel" if tenths else "[degF]",
        factor=0.1 if tenths else 5.0 / 9.0,
        offset=0.0 if tenths else -160.0 / 9.0,
        instrument=(-20.0, 150.0),
        engineering=(10.0, 80.0),
        period_ms=200,
        whole=tenths,
    )


def signals(line: int) -> tuple[Signal, ...]:
    """All signals of a line (0 is the first), in the order in which readings of one instant are sent."""
    return (
        *(signal for unit in range(len(UNITS)) for signal in _common(unit)),
        _bearing(line),
        Signal(
            FILLER,
            "bowl-pressure",
            "bowl_pressure",
            ucum="kPa",
            ucum_raw="mbar",
            factor=0.1,
            instrument=(0.0, 600.0),
            engineering=(150.0, 350.0),
            period_ms=2_000,
            spread=1.0,
        ),
        Signal(FILLER, "fill-level", "fill_level", ucum="mL", ucum_raw="mL", instrument=(0.0, 2000.0), period_ms=100),
        Signal(FILLER, "fill-setpoint", "fill_setpoint", role="setpoint", ucum="mL", setpoint_of="fill-level"),
        Signal(FILLER, "speed-setpoint", "speed_setpoint", role="setpoint", ucum="/h", whole=True),
        Signal(FILLER, "order", "order", role="batch_id"),
        Signal(FILLER, "guard-open", "guard_open", role="alarm"),
        Signal(FILLER, "vibration", "vibration", period_ms=1_000, known=False),
        Signal(CAPPER, "torque", "torque", ucum="N.m", instrument=(0.0, 5.0), engineering=(1.5, 2.2), period_ms=100),
        Signal(LABELLER, "web-tension", "web_tension", ucum="N", instrument=(0.0, 100.0), period_ms=200),
        Signal(PACKER, "glue-temperature", "glue_temperature", ucum="Cel", engineering=(150.0, 185.0), period_ms=500),
    )


@dataclass(frozen=True)
class Edge:
    """One edge node: its id, the quality scheme of its controllers, the raw form it sends, the units it serves."""

    source_id: str
    scheme: Scheme
    batches: bool
    units: tuple[int, ...]


def line_id(line: int) -> str:
    """Identity of a line, as work centre: `line-1` for 0."""
    return f"line-{line + 1}"


def edges(line: int) -> tuple[Edge, ...]:
    """The two edge nodes of a line; between them and the next line's, all schemes and both raw forms occur."""
    name = f"edge-{line_id(line)}"
    first: Scheme = "opcda" if line % 2 else "opcua"
    odd = line % 2 == 1
    return (
        Edge(f"{name}-a", first, odd, (FILLER, CAPPER)),
        Edge(f"{name}-b", "sparkplug", not odd, (LABELLER, PACKER)),
    )


def unit_id(line: int, unit: int) -> str:
    """Identity of a machine, as work unit and as asset: `line-1-filler`."""
    return f"{line_id(line)}-{UNITS[unit]}"


def signal_id(line: int, signal: Signal) -> str:
    """Identity of a signal: `line-1-filler-bearing-temperature`."""
    return f"{unit_id(line, signal.unit)}-{signal.name}"


def address(line: int, signal: Signal, scheme: Scheme) -> str:
    """Address of a signal at its source, in the manner of the source's protocol."""
    unit = UNITS[signal.unit].title()
    name = signal.name.title().replace("-", "")
    match scheme:
        case "opcua":
            return f"ns=2;s=Line{line + 1}.{unit}.{name}"
        case "opcda":
            return f"Line{line + 1}.{unit}.{name}"
        case "sparkplug":
            return f"{unit}/{name}"
