"""The end of a run: a summary, and a picture beside the output."""

from service.errors import ScoringError
from service.scoring.distribution import distribution
from service.scoring.picture import picture
from service.scoring.run import Made
from service.scoring.summary import summary


def told_of(made: Made) -> tuple[str, str]:
    """Draw the scores; gives a summary, and where all was written.

    Raises:
        ScoringError: the picture cannot be written.
    """
    output = made.asked.output
    found = distribution(output)
    path = output.with_suffix(".svg")
    try:
        path.write_text(picture(made, found), "utf-8")
    except OSError as cause:
        raise ScoringError(f"{output} is written, but not {path}: {cause.strerror}") from cause
    return summary(made, found), f"Written to {output}{_rate(made)}; the scores drawn to {path}."


def _rate(made: Made) -> str:
    if not made.scored or made.seconds <= 0:
        return ""
    return f" after {made.seconds:.1f} s, {made.scored / made.seconds:,.0f} rows/s"
