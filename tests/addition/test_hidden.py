"""Where a version is built: nobody serves it, and what a kill leaves behind does not stay."""

import signal
import subprocess
import sys
from pathlib import Path

from readme import ROOT

from service.addition.hidden import hidden_folder

BUILDS = """
import pathlib, sys
from service.addition.hidden import hidden_folder
with hidden_folder(pathlib.Path(sys.argv[1])) as hidden:
    (hidden / "weights").touch()
    print(hidden, flush=True)
    sys.stdin.read()
"""


def test_a_server_passes_over_it_and_it_goes(tmp_path: Path) -> None:
    with hidden_folder(tmp_path) as hidden:
        assert hidden.parent == tmp_path
        assert hidden.name.startswith(".")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_command_has_left_goes_with_the_next_and_what_another_builds_stays(
    tmp_path: Path,
) -> None:
    builds = [sys.executable, "-c", BUILDS, str(tmp_path)]
    with subprocess.Popen(
        builds, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with hidden_folder(tmp_path) as hidden:
            assert {*tmp_path.iterdir()} == {left, hidden}
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (left / "weights").exists()
    with hidden_folder(tmp_path) as hidden:
        assert [*tmp_path.iterdir()] == [hidden]
