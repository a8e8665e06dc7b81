"""The files that the page is made of, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

INDEX = "index.html"
"""The page itself; everything else is what it asks for."""

# Not from the system's table, which an operator's machine may have changed: nosniff makes types matter.
_MEDIA_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page.

    Args:
        content: its bytes.
        media_type: what they are.
        etag: a name of the content, as the header ETag has it.
    """

    content: bytes
    media_type: str
    etag: str


def page_files() -> Mapping[str, PageFile]:
    """Read the files of the page, by name."""
    folder = files("service.web") / "files"
    return {path.name: _page_file(path.name, path.read_bytes()) for path in folder.iterdir()}


def _page_file(name: str, content: bytes) -> PageFile:
    media_type = _MEDIA_TYPES[name.rsplit(".", 1)[-1]]
    return PageFile(content, media_type, f'"{sha256(content).hexdigest()[:32]}"')
