"""What the window stage is told. Enters: nothing. Leaves: times in us, lengths in s, and the parts that others need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.core.times import FOREVER_US, SECOND_US
from streams.core.window.signals import Defaults
from streams.core.window.watermark import Patience


@dataclass(frozen=True)
class WindowConfig:
    """Times in us, lengths in s. `carry_limit_us` is how long an on-change value is carried while its source lives.

    `correction_horizon_us` is how late a reading may be, `memory_us` how much of that is kept as readings: what is
    older is read from the log again. One look back corrects at most `look_back_readings` (about 250 MB with their
    rows), and one of its results holds about `page` rows and windows (some 20 MB), unless a single signal has more.
    `disorder_of` and `idle_of` hold, by source id, what single sources have instead.
    """

    allowed_disorder_us: int = 2 * SECOND_US
    idle_after_us: int = 10 * SECOND_US
    correction_horizon_us: int = 86_400 * SECOND_US
    memory_us: int = 300 * SECOND_US
    default_lengths_s: tuple[int, ...] = (10, 60)
    carry_limit_us: int = 86_400 * SECOND_US
    hold_periods: float = 2.5
    hold_unknown_us: int = 60 * SECOND_US
    look_back_readings: int = 4_000_000
    page: int = 100_000
    disorder_of: Mapping[str, int] = field(default_factory=dict)
    idle_of: Mapping[str, int] = field(default_factory=dict)

    @property
    def patience(self) -> Patience:
        """The part that watermarks go by."""
        limits = (self.allowed_disorder_us, self.idle_after_us, self.correction_horizon_us)
        return Patience(*limits, self.disorder_of, self.idle_of)

    @property
    def defaults(self) -> Defaults:
        """The part that stands in for the dictionary."""
        return Defaults(self.default_lengths_s, self.hold_periods, self.hold_unknown_us, self.carry_limit_us)

    @property
    def remembered_us(self) -> int:
        """How much of the horizon is in memory."""
        return min(self.memory_us, self.correction_horizon_us)

    @property
    def looks_back(self) -> bool:
        """Whether the horizon is longer than memory."""
        return self.memory_us < self.correction_horizon_us

    def carried_from(self, oldest_us: int) -> int:
        """Event time (us) before which nothing can matter any more, where the oldest correction is at `oldest_us`."""
        return oldest_us - self.carry_limit_us if self.looks_back else FOREVER_US
