"""The page on security promises nothing that no test shows."""

import re

import pytest
from readme import ROOT

from service.access.keys import SCOPES

PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
TABLE = PAGE.split("| promise | shown by |")[1].split("\n\n")[0]
TESTS = {
    name
    for path in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)
}


@pytest.mark.parametrize("row", TABLE.strip().splitlines()[1:])
def test_each_promise_names_tests_that_exist(row: str) -> None:
    shown = row.split(" | ")[-1]
    named = re.findall(r"`(test_\w+)`", shown)
    assert named
    assert set(named) <= TESTS


def test_the_scopes_are_those_of_the_program() -> None:
    table = PAGE.split("| scope | allows |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(SCOPES)
