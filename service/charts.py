"""Small charts as SVG. Colours come from the page's style sheet, by class."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_WIDTH, _HEIGHT = 480, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 82, 30, 12, 52
_TICKS = 5
_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Axis:
    """What lies along one side.

    Args:
        name: of the quantity.
        low: end.
        high: end; above `low`.
        percent: whether its numbers are shares.
    """

    name: str
    low: float
    high: float
    percent: bool = False

    def place(self, values: Array | float) -> Array:
        """Map to 0 to 1."""
        return (np.asarray(values, float) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Choose round numbers, about five."""
        rough = (self.high - self.low) / _TICKS
        size = 10.0 ** np.floor(np.log10(rough))
        step = min((one * size for one in _STEPS if one * size >= rough * 0.999), default=10 * size)
        first = np.ceil(self.low / step - 1e-9)
        return [float(k * step) + 0.0 for k in np.arange(first, np.floor(self.high / step + 1e-9) + 1)]

    def written(self, value: float) -> str:
        """Write a number on the axis."""
        return f"{100 * value:.4g} %" if self.percent else f"{value:.4g}"


class Chart:
    """Collects marks between two axes.

    Args:
        across: the horizontal one.
        up: the vertical one.
        title: for who cannot see it.
    """

    def __init__(self, across: Axis, up: Axis, title: str) -> None:
        self._across, self._up, self._title = across, up, title
        self._marks: list[str] = []

    def line(self, across: Sequence[float] | Array, up: Sequence[float] | Array, style: str) -> None:
        """Draw a line through points."""
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in self._points(across, up))
        self._marks.append(f'<polyline class="{style}" points="{points}"/>')

    def dots(
        self, across: Array, up: Array, radii: Iterable[float], labels: Iterable[str], style: str
    ) -> None:
        """Draw circles, each with a text that shows on hovering."""
        for (x, y), radius, label in zip(self._points(across, up), radii, labels, strict=True):
            text = f"<title>{escape(label)}</title>"
            self._marks.append(
                f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}">{text}</circle>'
            )

    def bars(self, edges: Array, heights: Array, style: str, *, part: tuple[float, float]) -> None:
        """Draw bars, each on a part of the way between two edges."""
        widths = np.diff(edges)
        starts, ends = edges[:-1] + widths * part[0], edges[:-1] + widths * part[1]
        for start, end, height in zip(starts, ends, heights, strict=True):
            ((x, y), (right, bottom)) = self._points([start, end], [height, self._up.low])
            if height > 0:
                self._marks.append(
                    f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" '
                    f'height="{bottom - y:.1f}"/>'
                )

    def svg(self) -> str:
        """Give the picture."""
        body = "".join([*self._frame(), *self._marks])
        label = escape(self._title)
        return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{body}</svg>'

    def _points(
        self, across: Sequence[float] | Array, up: Sequence[float] | Array
    ) -> Iterable[tuple[float, float]]:
        x = _LEFT + self._across.place(np.asarray(across)) * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - np.clip(self._up.place(np.asarray(up)), 0, 1) * (_HEIGHT - _TOP - _BOTTOM)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    def _frame(self) -> Iterable[str]:
        across, up = self._across, self._up
        for value in up.ticks():
            ((left, y), (right, _)) = self._points([across.low, across.high], [value, value])
            yield f'<line class="grid" x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}"/>'
            yield _text("tick", left - 7, y + 4, up.written(value), "end")
        for value in across.ticks():
            ((x, y),) = self._points([value], [up.low])
            yield _text("tick", x, y + 20, across.written(value))
        yield _text("axis", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, across.name)
        height = (_TOP + _HEIGHT - _BOTTOM) / 2
        yield f'<g transform="rotate(-90 18 {height:.1f})">{_text("axis", 18, height, up.name)}</g>'


def _text(style: str, x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
