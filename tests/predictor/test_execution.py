"""What measuring found is kept beside the weights, and used only where it still holds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from repositories import Repository

from service.inspection import as_text
from service.predictor import execution
from service.predictor.execution import Execution
from service.predictor.served_model import ServedModel, prepare
from service.repository.folder import ModelFolder
from service.sampling import planner
from service.sampling.planner import PlanChoice


class Measured(list[int]):
    """One entry for each time that plans are measured; steady while the machine is."""

    steady = True


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    times = Measured()

    def measure(plans: Sequence[str], samples: int, _clock: object, _before: object) -> PlanChoice:
        times.append(len(times))
        by_rows = {1: tuple(plans), 32: ("thinned", "loop")}
        return PlanChoice(by_rows, {("vmap", 1): 0.25}, {}, samples, steady=times.steady)

    monkeypatch.setattr(planner, "_measured", measure)
    return times


@pytest.fixture
def folder(repository: Repository) -> Path:
    return repository.add()


def load(folder: Path, how: Execution = Execution()) -> ServedModel:  # noqa: B008  # frozen
    model = ModelFolder(folder.parent)
    return prepare(model.read(model.manifest(), 1, ("networks",)), how)


def test_a_second_start_takes_what_the_first_found(folder: Path, measured: Measured) -> None:
    first, second = load(folder), load(folder)
    assert measured == [0]
    assert first.engine.plans == second.engine.plans
    assert first.engine.plans is not None
    assert first.engine.plans.seconds == {("vmap", 1): 0.25}


@pytest.mark.parametrize(
    "change", ["weights", "manifest", "machine", "torch", "precision", "threads", "a broken file", "unsound"]
)
def test_what_no_longer_holds_is_measured_again(
    folder: Path, repository: Repository, measured: Measured, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder)
    how, kept = Execution(), folder / "plans.json"
    if change == "weights":
        (folder / "weights.safetensors").write_bytes(_other_weights(repository))
    elif change == "manifest":
        repository.add(sampling={"samples": 20})
    elif change == "machine":
        monkeypatch.setattr(execution, "_processor", lambda _device: "another")
    elif change == "torch":
        monkeypatch.setattr(execution.torch, "__version__", "2.14.0")
    elif change == "precision":
        how = Execution(precision="float32")
    elif change == "threads":
        monkeypatch.setattr(execution.torch, "get_num_threads", lambda: 61)
    elif change == "a broken file":
        kept.write_text(kept.read_text()[:-30])
    else:
        kept.write_text(kept.read_text().replace('"1":', '"one":'))
    load(folder, how)
    assert measured == [0, 1]


def test_what_was_measured_in_a_busy_hour_is_measured_again(folder: Path, measured: Measured) -> None:
    """It is written down as what it is; the first quiet start replaces it, and there it ends."""
    measured.steady = False
    first = load(folder)
    assert first.engine.plans is not None
    assert not first.engine.plans.steady
    assert json.loads((folder / "plans.json").read_text())["steady"] is False
    assert "differed from run to run" in as_text(first)
    measured.steady = True
    for _ in range(3):
        again = load(folder)
        assert measured == [0, 1]
        assert again.engine.plans is not None
        assert again.engine.plans.steady
    assert json.loads((folder / "plans.json").read_text())["steady"] is True


def test_a_process_beside_others_takes_what_the_first_has_measured(
    folder: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steady or not: while they compute, it would measure no better."""
    measured.steady = False
    load(folder)
    written = (folder / "plans.json").read_text()
    # What the others do would contradict the times, had they any to be held against.
    monkeypatch.setattr(planner, "_contradicted", lambda _known, clock: clock.left > 0)
    beside = load(folder, Execution(beside=True))
    assert measured == [0]
    assert beside.engine.plans is not None
    assert (folder / "plans.json").read_text() == written


def _other_weights(repository: Repository) -> bytes:
    """The same network, begun from another seed."""
    return (repository.add(name="other", version=2) / "weights.safetensors").read_bytes()


def test_a_plan_that_is_no_longer_there_is_measured_again(folder: Path, measured: Measured) -> None:
    load(folder)
    kept = folder / "plans.json"
    kept.write_text(kept.read_text().replace('"vmap"', '"warp"'))
    load(folder)
    assert measured == [0, 1]


def test_a_folder_that_cannot_be_written_to_serves_all_the_same(
    folder: Path, measured: Measured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Root may write anywhere, so the refusal of a read-only file system is played."""

    def refuse(**_given: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("service.repository.findings.NamedTemporaryFile", refuse)
    with caplog.at_level("INFO"):
        assert load(folder).engine.plans is not None
    assert "Read-only file system" in caplog.text
    assert not (folder / "plans.json").exists()


def test_what_is_kept_is_plain_json_without_leftovers(folder: Path) -> None:
    """Measured for real."""
    model = load(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["plans.json", "weights.safetensors"]
    kept = json.loads((folder / "plans.json").read_text())
    assert kept["circumstances"]["weights"] == model.weights_sha256
    assert set(kept["by_rows"]) >= {"1"}
    assert model.engine.plans is not None
    assert kept["by_rows"]["1"] == list(model.engine.plans.by_rows[1])


def test_a_pinned_plan_runs_first(folder: Path) -> None:
    model = load(folder, replace(Execution(), plan="fold"))
    layout = model.engine._layout(((6,),))
    assert model.engine._executor.ranking(layout, 1)[0] == "fold"
    assert model.engine._executor.ranking(layout, 500)[0] == "fold"
    assert model.engine.plans is not None
    assert not model.engine.plans.seconds  # nothing was measured
