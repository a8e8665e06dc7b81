"""Two processes write one file of SQLite's, and lose nothing that they told when it is harmed under them."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import harmed_writers
from readme import ROOT

TIMES = 3  # of each kind of harm


def told_by_writers(folder: Path) -> list[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "fixtures")])}
    command = [sys.executable, Path(harmed_writers.__file__), folder, str(TIMES), "7"]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()
    told: list[str] = json.loads(done.stdout)
    return told


def kept(folder: Path) -> set[str]:
    """Give what is in any of the files, each of which is whole."""
    found: set[str] = set()
    for path in folder.glob("*.db"):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",), path.name
            found |= {one for (one,) in connection.execute("SELECT id FROM review_items")}
    return found


def test_what_was_told_is_kept_whatever_becomes_of_the_files(tmp_path: Path) -> None:
    told = told_by_writers(tmp_path)
    assert len(set(told)) == len(told)
    assert set(told) <= kept(tmp_path)
