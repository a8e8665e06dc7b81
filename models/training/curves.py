"""The picture of the learning curves: loss and figure after each epoch, as SVG."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from models.training.fitting import Epoch

_WIDTH, _HEIGHT = 860, 330
_TOP, _LEFT, _PANEL_WIDTH, _PANEL_HEIGHT, _GAP = 66, 56, 352, 206, 74
_TRAIN, _VALIDATION, _BEST, _GREY = "#0072b2", "#d55e00", "#666", "#ddd"
_TICKS, _LONGEST_NAME = 5, 36
_TYPICAL = 0.9  # a loss far above so many of the others, as first ones may be, leaves the picture


@dataclass(frozen=True)
class _Scale:
    """A range of values → pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def learning_curves(name: str, figure_name: str, epochs: Sequence[Epoch], best: int) -> str:
    """Draw the learning curves.

    Args:
        name: of the model.
        figure_name: of what stands beside the loss.
        epochs: that ran, in order.
        best: number of the epoch whose weights were kept; it is marked.

    Returns:
        An SVG document.
    """
    panels = [
        _panel("loss", epochs, best, _LEFT, lambda epoch: (epoch.train.loss, epoch.validation.loss)),
        _panel(
            figure_name,
            epochs,
            best,
            _LEFT + _PANEL_WIDTH + _GAP,
            lambda epoch: (epoch.train.figure, epoch.validation.figure),
        ),
    ]
    lines = [*_head(name, best), *(line for panel in panels for line in panel), "</svg>"]
    return "\n".join(lines) + "\n"


def _head(name: str, best: int) -> Iterator[str]:
    shortened = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    title = f"Learning curves of {escape(shortened)}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12" fill="#222">'
    )
    yield f"<title>{title}</title>"
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    yield f'<text x="{_LEFT}" y="24" font-size="15">{title}</text>'
    yield from _key(_LEFT + _PANEL_WIDTH + _GAP, _TRAIN, "", "train")
    yield from _key(_LEFT + _PANEL_WIDTH + _GAP + 80, _VALIDATION, "", "validation")
    yield from _key(_LEFT + _PANEL_WIDTH + _GAP + 190, _BEST, "4 3", f"best epoch, {best}")


def _key(x: float, colour: str, dashes: str, text: str) -> Iterator[str]:
    yield (
        f'<line x1="{x}" x2="{x + 22}" y1="20" y2="20" stroke="{colour}" stroke-width="2" '
        f'stroke-dasharray="{dashes}"/>'
    )
    yield f'<text x="{x + 28}" y="24">{text}</text>'


def _panel(
    title: str,
    epochs: Sequence[Epoch],
    best: int,
    left: float,
    values: Callable[[Epoch], tuple[float, float]],
) -> Iterator[str]:
    train, validation = zip(*map(values, epochs), strict=True)
    across = _Scale(1, max(len(epochs), 2), left, left + _PANEL_WIDTH)
    up = _Scale(*_range([*train, *validation], title == "loss"), _TOP + _PANEL_HEIGHT, _TOP)
    yield f'<clipPath id="{left}"><rect x="{left - 4}" y="{_TOP - 4}" width="{_PANEL_WIDTH + 8}" height="{_PANEL_HEIGHT + 8}"/></clipPath>'  # noqa: E501
    yield f'<text x="{left}" y="{_TOP - 12}">{escape(title)}</text>'
    yield from _axes(across, up)
    x = across(best)
    yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _PANEL_HEIGHT}" stroke="{_BEST}" stroke-dasharray="4 3"/>'  # noqa: E501
    for series, colour in ((train, _TRAIN), (validation, _VALIDATION)):
        yield _curve(series, colour, across, up)
    y = up(validation[best - 1])
    yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_VALIDATION}" stroke="white"/>'


def _curve(series: Sequence[float], colour: str, across: _Scale, up: _Scale) -> str:
    points = " ".join(f"{across(number):.1f},{up(value):.1f}" for number, value in enumerate(series, 1))
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8" '
        f'clip-path="url(#{across.start})"/>'
    )


def _axes(across: _Scale, up: _Scale) -> Iterator[str]:
    for value in ticks(up.low, up.high):
        y = up(value)
        yield f'<line x1="{across.start}" x2="{across.end}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GREY}"/>'
        yield f'<text x="{across.start - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    for value in ticks(across.low, across.high):
        if value == int(value):
            yield f'<text x="{across(value):.1f}" y="{up.start + 18}" text-anchor="middle">{value:g}</text>'
    yield f'<text x="{across.end}" y="{up.start + 36}" text-anchor="end">epoch</text>'


def _range(values: Sequence[float], is_loss: bool) -> tuple[float, float]:
    """Give the range of the picture: all values, but losses far above the others, and an R² far below 0."""
    ordered = sorted(values)
    low, typical, high = ordered[0], ordered[floor(_TYPICAL * (len(ordered) - 1))], ordered[-1]
    if is_loss and typical > low:
        high = min(high, typical + 2 * (typical - low))
    if not is_loss:
        low = max(low, min(-1, high - 1))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def ticks(low: float, high: float) -> list[float]:
    """Give round numbers within a range, about five."""
    raw = (high - low) / _TICKS
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [float(f"{count * step:.10g}") for count in range(first, last + 1)]
