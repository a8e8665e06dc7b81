"""The scores of an output as a picture that stands alone."""

import numpy as np

from service.charts import Axis, Chart
from service.scoring.distribution import Distribution
from service.scoring.run import Made

BINS = 32

_STYLE = (
    "<style>svg{background:#fff;font-family:system-ui,sans-serif}.grid{stroke:#d9dee6}"
    ".tick,.axis{fill:#5c6675;font-size:13px}.below{fill:#1f6feb}.above{fill:#d1462f}"
    "polyline{fill:none;stroke:#5c6675;stroke-dasharray:5 4}</style>"
)


def picture(made: Made, found: Distribution) -> str:
    """Draw how many rows have which score, and the threshold; gives SVG."""
    policy = made.decision.policy
    edges, counts = found.histogram(BINS)
    if found.low == found.high:
        edges = edges + np.linspace(0, abs(found.high) or 1.0, BINS + 1)
    shares = counts / max(1, found.rows)
    top = float(shares.max()) * 1.08 or 1.0
    chart = Chart(
        Axis(policy.measure, float(edges[0]), float(edges[-1])),
        Axis("share of the rows", 0, top, percent=True),
        f"{policy.measure} of {found.rows} rows",
    )
    above = edges[:-1] >= policy.threshold
    chart.bars(edges, np.where(above, 0, shares), "below", part=(0.04, 0.96))
    chart.bars(edges, np.where(above, shares, 0), "above", part=(0.04, 0.96))
    if edges[0] <= policy.threshold <= edges[-1]:
        chart.line([policy.threshold, policy.threshold], [0, top], "threshold")
    head, _, body = chart.svg().partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg">{_STYLE}{body}\n'
