"""A calibration as one HTML file: no script, and nothing from elsewhere."""

from collections.abc import Iterable
from html import escape
from pathlib import Path

from service.calibration.pictures import Picture, pictures
from service.calibration.run import Made
from service.calibration.words import percent, promise_in_words, untold, wrong_in_words
from service.repository.calibration import REPORT_FILE, ScoreFigures, write_whole

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5c6675; --line: #d9dee6; --paper: #fff;
  --card: #f6f8fa;  --first: #1f6feb; --second: #d1462f; --good: #1a7f4b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b5; --line: #333c4a;
  --paper: #12161d; --card: #1a2029; --first: #6aa8ff; --second: #ff8a73; --good: #5fd39a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 8px; }
p { margin: 0 0 12px; } .soft { color: var(--soft); font-size: .9rem; overflow-wrap: anywhere; }
.promise { border-left: 4px solid var(--good); background: var(--card); padding: 14px 16px; font-size: 1.1rem;
  margin: 16px 0 20px; border-radius: 0 6px 6px 0; } .promise.none { border-color: var(--second); }
.figures { display: grid; gap: 20px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
.wide { grid-column: 1 / -1; }
section { border: 1px solid var(--line); border-radius: 8px; padding: 16px; min-width: 0; }
svg { width: 100%; height: auto; display: block; margin-bottom: 8px; }
.scroll { overflow-x: auto; margin-bottom: 8px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 8px; border-bottom: 1px solid var(--line); font-size: .9rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; } tr.chosen { font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.grid { stroke: var(--line); } .tick, .axis { fill: var(--soft); font-size: 13px; }
@media (max-width: 500px) { .tick, .axis { font-size: 17px; } }
polyline { fill: none; }
.curve { stroke: var(--first); stroke-width: 2.2; }
.target { stroke: var(--soft); stroke-dasharray: 5 4; }
.bound { stroke: var(--good); stroke-width: 3; } .chosen { fill: var(--good); }
tr.chosen { color: var(--good); }
.bin { fill: var(--first); fill-opacity: .75; } .right { fill: var(--first); } .wrong { fill: var(--second); }
"""


def write_report(made: Made) -> str:
    """Write it beside calibration.json; gives its path.

    Raises:
        CalibrationError: the folder cannot be written to.
    """
    return str(write_whole(made.path.with_name(REPORT_FILE), as_html(made).encode()))


def as_html(made: Made) -> str:
    """Give the page."""
    identity = made.model.identity
    title = f"Calibration of {identity.model}, version {identity.version}"
    style = "promise" if made.calibration.found.threshold is not None else "promise none"
    promise = escape(promise_in_words(made.calibration)).replace(" %", "&nbsp;%")
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{len(made.labelled.rows)} labelled rows of {escape(Path(made.data).name)}</p>',
        f'<p class="{style}">{promise}</p>',
        *([f'<p class="soft">{escape(made.note)}</p>'] if made.note else []),
        '<div class="figures">',
        *map(_figure, pictures(made)),
        _scores(made),
        _facts(made),
        "</div>",
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>"
    )
    content = "".join(body)
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{content}</main></body></html>\n'


def _figure(picture: Picture) -> str:
    return (
        f"<section><h2>{escape(picture.title)}</h2>{picture.svg}"
        f'<p class="soft">{escape(picture.text)}</p></section>'
    )


def _scores(made: Made) -> str:
    outcome = made.outcome
    lines = "".join(
        _line(one, outcome.over_all[one.measure], chosen=one.measure == outcome.measure)
        for one in outcome.figures
    )
    head = "<tr><th>score</th><th>AUGRC</th><th>AURC</th><th>AUROC</th><th>AUGRC, all</th></tr>"
    regression = made.calibration.promise.of_values
    comparing = (
        "The last column only compares."
        if regression
        else "The deterministic one and the last column only compare."
    )
    text = (
        f"On the {len(outcome.split.choosing)} rows that choose, lower AUGRC is better; the threshold "
        f"is certified on the others. {comparing} {untold(outcome)}"
    )
    return (
        f'<section><h2>Scores</h2><div class="scroll"><table>{head}{lines}</table></div>'
        f'<p class="soft">{text}</p></section>'
    )


def _line(figures: ScoreFigures, over_all: float, *, chosen: bool) -> str:
    auroc = "–" if figures.auroc is None else f"{figures.auroc:.3f}"
    cells = (escape(figures.measure), f"{figures.augrc:.5f}", f"{figures.aurc:.5f}", auroc, f"{over_all:.5f}")
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f"<tr{' class=chosen' if chosen else ''}>{row}</tr>"


def _facts(made: Made) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _listed(made))
    return f'<section class="wide"><h2>What it is bound to</h2><dl>{facts}</dl></section>'


def _listed(made: Made) -> Iterable[tuple[str, str]]:
    calibration = made.calibration
    found, promise, draws = calibration.found, calibration.promise, calibration.draws
    yield "contract", promise.contract
    if promise.of_values:
        yield "wrong is", wrong_in_words(promise)
    yield (
        "rows that certify",
        f"{found.rows}, of which {found.accepted} are not flagged and {found.errors} of these wrong",
    )
    if found.threshold is not None:
        yield "threshold", f"{calibration.measure} {found.threshold:.6g}"
        yield "error bound", percent(found.error_bound)
    if calibration.conformal is not None:
        kind = "intervals" if promise.of_values else "sets"
        yield f"conformal {kind}", f"level {percent(calibration.conformal.level)}"
    yield "temperature", f"{calibration.temperature:.4g}"
    yield "samples", str(draws.samples)
    yield "seed", str(draws.seed)
    yield "sites", ", ".join(calibration.setting.sites)
    yield "precision", calibration.setting.precision
    yield "weights", calibration.setting.weights_sha256
    yield "labelled rows", calibration.data_sha256
    yield "unsure", calibration.unsure
