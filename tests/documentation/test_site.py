"""The documentation as a site: it builds without a warning, and loads nothing from another host."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from readme import ROOT

_LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
_OUTSIDE = ("http:", "https:", "//")


class Loaded(HTMLParser):
    """What a page loads by itself, and the addresses within it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _LOADS and given.get("rel") != "canonical":
            self.sources += filter(None, [given.get(_LOADS[tag])])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Not --quiet: what is not logged is not counted, and warnings are no errors then.
    command = [Path(sys.executable).with_name("mkdocs"), "build", "--strict", "--site-dir", folder]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        sources = Loaded(page).sources
        assert any(source.endswith(".js") for source in sources), page
        assert not [source for source in sources if source.startswith(_OUTSIDE)], page


def test_what_a_page_loads_is_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # of a site at the root of its host
            continue
        for source in Loaded(page).sources:
            assert source.startswith("data:") or (page.parent / source).resolve().is_file(), (page, source)


def test_no_style_sheet_loads_anything_from_another_host(site: Path) -> None:
    sheets = sorted(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        text = sheet.read_text("utf-8")
        assert "@import" not in text, sheet
        assert "url(http" not in text.replace('"', "").replace("'", ""), sheet
        assert "url(//" not in text.replace('"', "").replace("'", ""), sheet


def test_every_decision_is_in_the_site(site: Path) -> None:
    written = {path.stem for path in (ROOT / "docs" / "decisions").glob("*.md")}
    assert {path.stem for path in (site / "decisions").glob("*.html")} == written
    shown = (site / "index.html").read_text("utf-8")
    assert all(f"decisions/{name}.html" in shown for name in written)
