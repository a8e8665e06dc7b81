"""Brings files of the repository that pages link to, and that lie outside of docs, into the site."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
ELSEWHERE = "repository"
"""The folder of the site that stands for the repository's root."""

_DOCS = "docs"
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in the place of its name, and those from outside docs where they will be."""
    config.nav = _spread(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files, and those that they link to in turn."""
    wanted = [_in_repository(file.src_uri) for file in files.documentation_pages()]
    wanted += [_in_repository(uri) for uri in _pages(config.nav)]
    seen: set[str] = set()
    while wanted:
        path = wanted.pop()
        if path in seen or not (ROOT / path).is_file():
            continue
        seen.add(path)
        if not _is_in_docs(path):
            files.append(File.generated(config, _in_site(path), abs_src_path=str(ROOT / path)))
        if path.endswith(".md"):
            wanted += _linked(path)
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Write links as they are within the site; folders have no page, and what names one stays as text."""
    here = _in_repository(page.file.src_uri)
    text = re.sub(r"\[([^\]]*)\]\(([^)#\s:]+/)\)", r"\1", markdown)

    def replaced(found: re.Match[str]) -> str:
        return relpath(_in_site(_resolved(here, found[0])), PurePosixPath(page.file.src_uri).parent)

    return _LINK.sub(replaced, text)


def _spread(nav: Any) -> Any:
    if isinstance(nav, dict):
        return {title: _spread(inside) for title, inside in nav.items()}
    if isinstance(nav, list):
        return [_spread(inside) for inside in nav]
    if nav.endswith("/"):
        return sorted(path.relative_to(ROOT / _DOCS).as_posix() for path in (ROOT / _DOCS / nav).glob("*.md"))
    return _in_site(_resolved(f"{_DOCS}/", nav))


def _pages(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    for inside in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _pages(inside)


def _linked(path: str) -> Iterable[str]:
    text = (ROOT / path).read_text("utf-8")
    return [_resolved(path, target) for target in _LINK.findall(text)]


def _resolved(page: str, target: str) -> str:
    return normpath(PurePosixPath(page).parent / target if not page.endswith("/") else f"{page}{target}")


def _is_in_docs(path: str) -> bool:
    return path.startswith(f"{_DOCS}/")


def _in_site(path: str) -> str:
    return path.removeprefix(f"{_DOCS}/") if _is_in_docs(path) else f"{ELSEWHERE}/{path}"


def _in_repository(uri: str) -> str:
    return uri.removeprefix(f"{ELSEWHERE}/") if uri.startswith(f"{ELSEWHERE}/") else f"{_DOCS}/{uri}"
