"""What was sent before a server is told to stop is answered, whether it was accepted by then or not."""

import os
import subprocess
import sys

from readme import ROOT


def test_no_request_that_was_sent_is_reset() -> None:
    """By one process, and by two on one port; each round 64 requests, up to 40 ms before the signal."""
    command = [sys.executable, ROOT / "benchmarks" / "stopping.py", "--rounds", "4"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{count} processes: 256 × HTTP/1.1 200 OK" for count in (1, 2)]
