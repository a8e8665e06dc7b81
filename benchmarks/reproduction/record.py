"""Results that outlive an interruption: a line of JSON each, in a file that is only added to."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]


class Record:
    """A file of results.

    Args:
        path: of the file; made when the first result is there.
        settings: of the run. Results that other settings gave stay in the file, and are not this run's.
    """

    def __init__(self, path: Path, settings: Entry) -> None:
        self.path = path
        self._settings = json.loads(json.dumps(settings))

    def entries(self) -> list[dict[str, Any]]:
        """Read what there is of these settings."""
        if not self.path.exists():
            return []
        read = (_read(line) for line in self.path.read_text("utf-8").splitlines())
        return [line["result"] for line in read if line and line["settings"] == self._settings]

    def missing(self, key: str, wanted: Iterable[Any]) -> list[Any]:
        """List the values of a key that no result has."""
        done = [entry[key] for entry in self.entries()]
        return [value for value in wanted if value not in done]

    def ordered(self, key: str, wanted: Iterable[Any]) -> list[dict[str, Any]]:
        """Give the results in the order of their values of a key."""
        entries = {entry[key]: entry for entry in self.entries()}
        return [entries[value] for value in wanted]

    def add(self, results: Iterable[Entry]) -> None:
        """Add results, each in one write: two processes do not mix theirs."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            for result in results:
                line = json.dumps({"settings": self._settings, "result": result})
                os.write(file, f"{_mended(file)}{line}\n".encode())
        finally:
            os.close(file)


def _read(line: str) -> Any:
    """Read a line; what a kill has cut off in its middle is none."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _mended(file: int) -> str:
    """Give the end of a line that a kill has cut off."""
    size = os.fstat(file).st_size
    return "\n" if size and os.pread(file, 1, size - 1) != b"\n" else ""
