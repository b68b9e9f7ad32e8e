"""Time lines as SVG. Enter: marks in pixels, times through a `Scale`. Leaves: text of an SVG file, the same every time.

Colours follow the reader's light or dark scheme; no text is smaller than 12 px; `boxes` tells where texts stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Final, NamedTuple

WIDTH: Final = 900
SMALL, NORMAL, LARGE = 12, 13, 16
# Light, dark. Blue, amber and red are told apart by those who see colours otherwise, too.
PAPER: Final = ("#ffffff", "#0d1117")
COLOURS: Final = {
    "paper": PAPER,
    "ink": ("#1f2328", "#e6edf3"),
    "faint": ("#59636e", "#9198a1"),
    "grid": ("#d1d9e0", "#3d444d"),
    "good": ("#0969da", "#4493f8"),
    "doubt": ("#9a6700", "#d29922"),
    "bad": ("#cf222e", "#f85149"),
    "new": ("#8250df", "#ab7df8"),
    "mute": ("#8c959f", "#6e7681"),
}


def _rules(scheme: int) -> str:
    told = [f".over{{stroke:{PAPER[scheme]}}}"]
    for name, both in COLOURS.items():
        colour = both[scheme]
        told += [f".{name}{{fill:{colour}}}", f".l-{name}{{stroke:{colour}}}"]
        told.append(f".b-{name}{{fill:{colour};fill-opacity:.16;stroke:{colour}}}")
    return "".join(told)


_FONT: Final = "system-ui,-apple-system,'Segoe UI',Helvetica,Arial,'DejaVu Sans',sans-serif"
_STYLE: Final = (
    f"text{{font-family:{_FONT}}}.over{{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}}"
    "polyline{fill:none}line{stroke-width:1}"
    f"{_rules(0)}@media (prefers-color-scheme:dark){{{_rules(1)}}}"
)


class Box(NamedTuple):
    """Where a text stands: left, top, right, bottom in px, by a wide font's measure."""

    left: float
    top: float
    right: float
    bottom: float
    text: str


@dataclass(frozen=True)
class Scale:
    """Event or processing time (us) to px."""

    begin_us: int
    end_us: int
    left: float = 160
    right: float = WIDTH - 45

    def __call__(self, time_us: float) -> float:
        """The place of an instant."""
        share = (time_us - self.begin_us) / (self.end_us - self.begin_us)
        return self.left + share * (self.right - self.left)


def clock(time_us: int, form: str = "%H:%M:%S") -> str:
    """An instant as text, UTC."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime(form)


class Picture:
    """A picture with a title; marks are drawn in the order in which they are added."""

    def __init__(self, title: str, description: str, height: int) -> None:
        self.title, self.description, self.height = title, description, height
        self.boxes: list[Box] = []
        self._marks: list[str] = []
        self.text(20, 28, title, size=LARGE, weight=600)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        kind: str = "ink",
        anchor: str = "start",
        size: int = NORMAL,
        weight: int = 400,
        over: bool = True,
    ) -> None:
        """One line; `y` is its base line. `over`: what is below it keeps clear of it."""
        wide = len(text) * size * (0.6 if weight == 400 else 0.64)
        left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        self.boxes.append(Box(left, y - size * 0.8, left + wide, y + size * 0.2, text))
        bold = f' font-weight="{weight}"' if weight != 400 else ""
        side = f' text-anchor="{anchor}"' if anchor != "start" else ""
        place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}"{side}{bold}'
        self._marks.append(f'<text class="{kind}{" over" if over else ""}" {place}>{escape(text)}</text>')

    def lines(self, x: float, y: float, texts: list[str], kind: str = "ink", size: int = NORMAL) -> None:
        """Several lines, one below the other."""
        for number, text in enumerate(texts):
            self.text(x, y + number * (size + 5), text, kind, size=size)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str = "grid", dash: str = "") -> None:
        """A straight line."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._marks.append(f'<line class="l-{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{dashed}/>')

    def path(self, points: list[tuple[float, float]], kind: str = "ink", dash: str = "", width: float = 2) -> None:
        """A line through points; none where there are none."""
        if not points:
            return
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._marks.append(f'<polyline class="l-{kind}" style="stroke-width:{width:g}" points="{places}"{dashed}/>')

    def box(self, x1: float, y1: float, x2: float, y2: float, kind: str, text: str = "", dash: str = "") -> None:
        """A span: a tinted box with a text in its middle."""
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        place = f'x="{x1:.1f}" y="{y1:.1f}" width="{x2 - x1:.1f}" height="{y2 - y1:.1f}" rx="3"'
        self._marks.append(f'<rect class="paper" {place}/>')
        self._marks.append(f'<rect class="b-{kind}" {place}{dashed}/>')
        if text:
            self.text((x1 + x2) / 2, (y1 + y2) / 2 + 4.5, text, anchor="middle", size=SMALL, over=False)

    def dot(self, x: float, y: float, kind: str = "good", hollow: bool = False, radius: float = 4) -> None:
        """A reading; hollow: one that does not count."""
        look = f'class="l-{kind}" fill="none" stroke-width="1.5"' if hollow else f'class="{kind}"'
        self._marks.append(f'<circle {look} cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>')

    def cross(self, x: float, y: float, kind: str = "bad", arm: float = 4) -> None:
        """Something that is not taken."""
        self.path([(x - arm, y - arm), (x + arm, y + arm)], kind)
        self.path([(x - arm, y + arm), (x + arm, y - arm)], kind)

    def lane(self, y: float, name: str, note: str = "", scale: Scale | None = None) -> None:
        """A lane's name at the left, with a rule across where a scale is given."""
        if scale is not None:
            self.line(scale.left, y, scale.right, y)
        self.text(20, y + (4.5 if not note else -3), name, weight=600)
        if note:
            self.text(20, y + 13, note, "faint", size=SMALL)

    def ticks(self, scale: Scale, y: float, every_us: int, form: str = "%H:%M:%S", top: float | None = None) -> None:
        """The time axis, with rules up to `top`."""
        first = -(-scale.begin_us // every_us) * every_us
        for time_us in range(first, scale.end_us + 1, every_us):
            x = scale(time_us)
            self.line(x, y, x, y + 5 if top is None else top)
            self.text(x, y + 19, clock(time_us, form), "faint", "middle", SMALL)
        self.line(scale.left, y, scale.right, y, "faint")

    def svg(self) -> str:
        """The file's text."""
        marks = "\n".join(self._marks)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'aria-labelledby="t d">\n<title id="t">{escape(self.title)}</title>\n'
            f'<desc id="d">{escape(self.description)}</desc>'
            f'\n<style>{_STYLE}</style>\n<rect class="paper l-grid" x=".5" y=".5" width="{WIDTH - 1}" '
            f'height="{self.height - 1}" rx="8"/>\n{marks}\n</svg>\n'
        )
