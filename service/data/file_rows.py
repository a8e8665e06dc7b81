"""Rows that are files of their own: the images or the texts of a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from service.data.columns import Columns

FILE, LABEL, INPUTS = "file", "label", "inputs"


class FileRows:
    """A folder of which each file is a row. They are opened where they are read, and not before.

    Args:
        folder: that they lie in.
        files: their paths in it.

    Attributes:
        names: the file's path in the folder; where all lie in folders of it, the outermost one's name, which
            is by custom what they show; and the file.
        rows: how many.
    """

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self._folder = folder
        self._files = files
        labels = [LABEL] if all("/" in file for file in files) else []
        self.names = [FILE, *labels, INPUTS]
        self.rows: int | None = len(files)

    def parts(self, start: int, size: int) -> Iterator[Columns]:
        """Give rows from `start` on, `size` at a time."""
        for first in range(start, len(self._files), size):
            files = self._files[first : first + size]
            held = {
                FILE: list(files),
                LABEL: [file.partition("/")[0] for file in files],
                INPUTS: [self._folder / file for file in files],
            }
            yield Columns({name: held[name] for name in self.names})
