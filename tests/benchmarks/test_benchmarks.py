"""The benchmarks run, and their tables are what their page shows."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from math import isfinite
from types import ModuleType

import pytest
import torch
from readme import ROOT

BENCHMARKS = ROOT / "benchmarks"
PAGE = (BENCHMARKS / "README.md").read_text("utf-8")
SAMPLES = 600
SERVED = ("predict", "uncertainty")


def table(*command: str) -> tuple[list[str], list[list[str]]]:
    """Run a benchmark; gives the head of its first table, and the rows."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / command[0], *command[1:]], capture_output=True, text=True, check=True
    )
    assert not done.stderr, "progress is for terminals"
    machine, _, head, _, *rows = done.stdout.splitlines()
    assert "torch" in machine or "seed" in machine
    return _cells(head), [_cells(row) for row in rows]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _positive(cell: str) -> bool:
    return isfinite(float(cell)) and float(cell) > 0


@pytest.fixture
def rivals(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("rivals")


def test_the_engines_table_is_that_of_the_page() -> None:
    head, rows = table("engine.py", "--quick", "--works", "0")
    assert f"| {' | '.join(head)} |" in PAGE
    assert {"one prediction", "naive loop", "vmap", "loop"} <= {row[1] for row in rows}
    assert all(_positive(cell) for row in rows for cell in row[2:5])


def test_the_table_of_adaptive_sampling_is_that_of_the_page() -> None:
    head, ((_, _, *figures, _, _, _, _, _),) = table("adaptive.py", "--quick")
    assert f"| {' | '.join(head)} |" in PAGE
    assert all(_positive(cell) for cell in figures[:2])


def test_the_table_of_serving_is_that_of_the_page() -> None:
    if shutil.which("wrk") is None:
        if "CI" in os.environ:
            pytest.fail("wrk is missing")
        pytest.skip("wrk is not installed")
    head, rows = table("serving.py", "--quick")
    assert f"| {' | '.join(head)} |" in PAGE
    assert {(row[0], row[1]) for row in rows} == {(path, n) for path in SERVED for n in ("1", "32")}
    assert all(_positive(cell) for row in rows for cell in row[3:7])


def test_a_soak_finds_no_wrong_answer_and_its_table_is_that_of_the_page() -> None:
    head, rows = table("soak.py", "--seconds", "20")
    assert f"| {' | '.join(head)} |" in PAGE
    figures = dict(rows)
    assert int(figures["answers compared"]) > 0
    assert figures["wrong"] == "0"
    assert all(f"| {name} |" in PAGE for name in figures if not name.startswith("requests, 5"))


def test_a_soak_tells_what_has_grown_and_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    soak = importlib.import_module("soak")
    steady = [soak.Usage(float(second), 100.0, 10, 5) for second in range(60)]
    growing = [soak.Usage(float(second), 100.0 + 2 * second, 10 + second, 5 + second) for second in range(60)]
    assert soak.Growth.of(steady).complaints() == []
    told = soak.Growth.of(growing)
    assert round(told.megabytes_per_hour) == 7200
    assert [complaint.split()[0] for complaint in told.complaints()] == ["memory", "open", "threads"]
    questions = importlib.import_module("questions")
    answer = {"request_id": "a", "mean": [0.25, 0.5], "flag": True, "samples": 16}
    assert questions.alike(answer | {"request_id": "b", "mean": [0.25, 0.5 + 1e-7]}, answer)
    for wrong in ({"mean": [0.25, 0.5001]}, {"mean": [0.25]}, {"flag": False}, {"samples": 17}, {"more": 1}):
        assert not questions.alike(answer | wrong, answer)


def test_what_the_page_makes_there_is() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", PAGE))
    assert {"bench-engine", "bench-rivals", "bench-serving", "bench-adaptive", "soak"} <= named <= targets


def test_the_engine_samples_every_mechanism(rivals: ModuleType) -> None:
    for mechanism in rivals.MECHANISMS:
        plain = rivals.plainly(mechanism, True, SAMPLES)
        found = rivals.unsures(mechanism, True, SAMPLES, plain)
        assert found.wrong <= 5 * found.error, mechanism.name
        assert "mean" not in found.words


def test_deviations_and_their_errors_are_those_of_normal_numbers(rivals: ModuleType) -> None:
    samples = torch.randn(2000, 4, 2, generator=torch.Generator().manual_seed(0))
    seen = rivals.Seen.of(samples)
    expected = 1 / (2 * samples.numel()) ** 0.5
    assert abs(seen.deviation - 1) < 5 * expected
    assert 0.5 * expected < seen.error < 2 * expected
    assert rivals.Seen.of(samples + 1).mean_is_off(seen) > 20


def test_a_missed_mechanism_and_an_error_are_told(rivals: ModuleType) -> None:
    mechanism = rivals.MECHANISMS[0]
    plain = rivals.plainly(mechanism, False, 40)

    def missing(network: torch.nn.Module) -> object:
        return lambda rows, samples: network.eval()(rows).expand(samples, -1, -1)

    def raising(network: torch.nn.Module) -> object:
        raise ValueError("no dropout. Add some")

    ways = {"missing": missing, "raising": raising}
    assert rivals.outcome(missing, mechanism, False, 40, plain).words == "0.00"
    assert rivals.outcome(raising, mechanism, False, 40, plain).words == "raises ValueError: no dropout"
    assert rivals.best(ways, mechanism, False, 40, plain).startswith("0.00 (missing); raises")


def test_what_sampling_leaves_behind_is_told(rivals: ModuleType) -> None:
    assert rivals.state_line("train mode", rivals.in_train_mode) == "| train mode | 0 | 6 | yes | no |"
