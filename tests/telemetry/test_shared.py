"""Figures of several processes as one."""

import os
import subprocess
import sys
from pathlib import Path

from readme import ROOT

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
