"""Figures of several processes as one."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.mmap_dict import MmapedDict
from readme import ROOT

from service.telemetry.shared import WrittenDict

TELL = "from service.telemetry.metrics import Telemetry; Telemetry().pending({rows}, {share})"
SHOW = "from service.telemetry.metrics import Telemetry; print(Telemetry().exposition()[0].decode())"


def run(program: str, folder: Path) -> str:
    """Run a program as one process of a fleet."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_rows_add_up_and_the_queue_is_as_full_as_the_fullest(tmp_path: Path) -> None:
    """None takes rows from another: one of these is close to its limit."""
    for rows, share in ((3, 0.75), (2, 0.5)):
        run(TELL.format(rows=rows, share=share), tmp_path)
    told = run(SHOW, tmp_path).splitlines()
    assert "unsure_pending_rows 5.0" in told
    assert "unsure_queue_fill_ratio 0.75" in told


MAPPED = "print([line for line in open('/proc/self/maps') if '.db' in line])"


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="the system does not tell what is mapped")
def test_no_file_of_metrics_is_mapped(tmp_path: Path) -> None:
    """To touch a mapped file on a disk that is full ends the process."""
    assert run(f"{TELL.format(rows=3, share=0.5)}; {MAPPED}", tmp_path).strip() == "[]"
    assert list(tmp_path.glob("*.db"))


def test_what_a_full_disk_did_not_take_is_written_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "counter_1.db")
    written, read = WrittenDict(path), MmapedDict.read_all_values_from_file
    written.write_value("a", 1.0, 0.0)
    with monkeypatch.context() as full:

        def refuse(*_: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        full.setattr(os, "pwrite", refuse)
        written.write_value("a", 2.0, 0.0)
        written.write_value("b", 3.0, 0.0)
    assert [(key, value) for key, value, _, _ in read(path)] == [("a", 1.0)]
    assert written.read_value("b") == (3.0, 0.0)
    written.write_value("a", 4.0, 0.0)
    assert [(key, value) for key, value, _, _ in read(path)] == [("a", 4.0), ("b", 3.0)]
    assert caplog.text.count("metrics cannot be written") == 1
    written.close()
    again = WrittenDict(path)  # a process of the same number goes on with its counts
    again.write_value("c", 5.0, 0.0)
    assert [value for _, value, _, _ in read(path)] == [4.0, 3.0, 5.0]
    again.close()


def test_a_file_of_metrics_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    for rows in (3, 2):
        run(TELL.format(rows=rows, share=0.5), tmp_path)
    os.truncate(min(tmp_path.glob("gauge_livesum_*")), 0)
    kept = run(SHOW, tmp_path)
    assert "unsure_pending_rows 3.0" in kept or "unsure_pending_rows 2.0" in kept


def test_a_file_of_metrics_that_cannot_be_made_costs_no_process(tmp_path: Path) -> None:
    written = WrittenDict(str(tmp_path / "nowhere" / "counter_1.db"))
    written.write_value("a", 1.0, 0.0)
    assert written.read_value("a") == (1.0, 0.0)
    written.close()
