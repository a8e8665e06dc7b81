"""Freed memory is kept: pages are not cleared again for every large tensor."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from service.sampling.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
values = torch.ones(10_000_000)
for _ in range(20):
    values * 2  # until some freed place is large enough with all that alignment asks for
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    values * 2
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(what: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, what], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_large_tensors_reuse_memory() -> None:
    """Five products into 40 MB touch 10,000 pages each, or none that is new."""
    assert faults("give back") > 33_000
    assert faults("keep") < 3_000
