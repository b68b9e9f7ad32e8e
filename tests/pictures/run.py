"""Draws the pictures of docs from runs of the services, and tells what `plantweave lag` prints in one of them.

`make pictures` writes them anew; a test holds that the committed ones are what comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.pictures import (
    alerts,
    autumn,
    clocks,
    counters,
    gateways,
    incident,
    late,
    offline,
    repeats,
    rests,
    silence,
    times,
    watermark,
)
from tests.pictures.drawing import Picture

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGE: Final = DOCS / "time.md"
PICTURES: Final[dict[str, Callable[[], Picture]]] = {
    "time-stamps": times.draw,
    "time-watermark": watermark.draw,
    "time-late": late.draw,
    "time-alerts": alerts.draw,
    "time-offline": offline.draw,
    "time-repeats": repeats.draw,
    "time-gateways": gateways.draw,
    "time-clocks": clocks.draw,
    "time-autumn": autumn.draw,
    "time-silence": silence.draw,
    "time-counters": counters.draw,
    "time-rests": rests.draw,
    "incident": incident.draw,
}
BEGIN, END = "<!-- lag -->", "<!-- /lag -->"


def path(name: str) -> Path:
    """Where a picture lies."""
    return DOCS / "pictures" / f"{name}.svg"


def told(text: str) -> str:
    """The page with what `plantweave lag` prints made anew."""
    head, rest = text.split(BEGIN, 1)
    return f"{head}{BEGIN}\n```text\n{watermark.lag(50)}\n```\n{END}{rest.split(END, 1)[1]}"


def main() -> None:
    """Write all of it."""
    for name, draw in PICTURES.items():
        path(name).parent.mkdir(exist_ok=True)
        path(name).write_text(draw().svg(), encoding="utf-8")
    PAGE.write_text(told(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
