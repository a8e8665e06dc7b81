"""docs/concepts.md: its figures of a thousand calibrations are those of its picture."""

import re

import pytest
from concept_runs import CALIBRATIONS, risks
from readme import ROOT
from selective_methods import TARGET

PAGE = (ROOT / "docs" / "concepts.md").read_text("utf-8")


def test_the_page_tells_how_often_each_threshold_breaks_its_promise() -> None:
    told = [float(share) / 100 for share in re.findall(r"\*\*(\d+) %\*\*", PAGE)]
    broken = [(found > TARGET).mean() for found in risks().values()]
    # Another processor draws the same rows; an error of rounding moves a single calibration.
    assert broken == pytest.approx(told, abs=0.005 + 1 / CALIBRATIONS)


def test_every_picture_of_the_concepts_is_on_the_page() -> None:
    drawn = {path.name for path in (ROOT / "docs" / "pictures").glob("concepts-*.svg")}
    assert drawn == set(re.findall(r"\(pictures/(concepts-\w+\.svg)\)", PAGE))
