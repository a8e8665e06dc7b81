"""The reproduction on regression sets: its protocol, its stacked training, and that it resumes."""

import json
import re
import sys
from collections.abc import Callable
from math import log, pi
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import SFC64, Generator
from reproductions import BENCHMARKS, PAGE, cells, command, heads, reproduce
from torch import Tensor, nn

sys.path.append(str(BENCHMARKS))  # last: it has names that fixtures have too

from reproduction.record import Record
from reproduction.regression_data import Table, Units, published_folds, read_table, validation_fold
from reproduction.stacked import Lesson, Weights, train
from reproduction.summaries import Summary
from reproduction.uci import Effort, Setting, figures, log_likelihood, run_splits

ROWS, FEATURES, UNITS, EPOCHS = 300, 3, 5, 6
RATES, DECAYS = (0.1, 0.5), (0.0, 0.01)


def synthetic(rows: int = 90) -> Table:
    generator = np.random.default_rng(0)
    inputs = generator.normal(3, 2, (rows, FEATURES))
    return Table(inputs, 20 + 5 * inputs[:, 0] + generator.normal(0, 1, rows))


def write(table: Table, path: Path) -> Path:
    columns = np.column_stack([table.inputs, table.targets])
    names = [*(f"x{number}" for number in range(FEATURES)), "y"]
    np.savetxt(path, columns, delimiter=",", header=",".join(names), comments="")
    return path


def lesson(splits: int, rates: Tensor, decays: Tensor, first: int = 0) -> Lesson:
    drawn = [torch.randn(ROWS, FEATURES, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    inputs = torch.stack(drawn[first : first + splits])
    return Lesson(inputs, inputs[..., 0].sin(), rates, decays, range(first, first + splits), UNITS, EPOCHS)


@pytest.fixture(scope="module")
def stacked() -> Weights:
    return train(lesson(3, torch.tensor([RATES]), torch.tensor([[DECAYS, DECAYS]])), lambda: None)


def places(test: Callable[..., None]) -> Callable[..., None]:
    cases = [(split, rate, decay) for split in (0, 2) for rate in (0, 1) for decay in (0, 1)]
    return pytest.mark.parametrize("place", cases, ids=str)(test)


@places
def test_a_network_of_a_stack_learns_what_it_learns_alone(
    stacked: Weights, place: tuple[int, int, int]
) -> None:
    split, rate, decay = place
    alone = train(
        lesson(1, torch.tensor([[RATES[rate]]]), torch.tensor([[[DECAYS[decay]]]]), split), lambda: None
    )
    for one, of_stack in ((alone.hidden, stacked.hidden), (alone.output, stacked.output)):
        torch.testing.assert_close(one[0, 0, 0], of_stack[place], rtol=1e-4, atol=1e-6)


@places
def test_a_network_of_a_stack_learns_what_plain_training_does(
    stacked: Weights, place: tuple[int, int, int]
) -> None:
    split, rate, decay = place
    network = plainly(lesson(1, torch.zeros(1, 1), torch.zeros(1, 1, 1), split), RATES[rate], DECAYS[decay])
    for one, of_stack in zip(
        network.parameters(), stacked.network(place, RATES[rate]).parameters(), strict=True
    ):
        torch.testing.assert_close(one, of_stack, rtol=1e-4, atol=1e-6)


def plainly(work: Lesson, rate: float, decay: float) -> nn.Sequential:
    """Train one network as people write it, with the same random numbers."""
    (seed,) = work.seeds
    generator = Generator(SFC64(seed))

    def uniform(*shape: int) -> Tensor:
        return torch.from_numpy(generator.random(shape, dtype=np.float32))

    network = nn.Sequential(nn.Linear(FEATURES, UNITS), nn.ReLU(), nn.Linear(UNITS, 1))
    first, _, last = network
    with torch.no_grad():
        for layer in (first, last):
            most = (6 / sum(layer.weight.shape)) ** 0.5
            unit = uniform(layer.in_features, layer.out_features)
            layer.weight.copy_(((2 * unit - 1) * most).T)
            layer.bias.zero_()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, eps=1e-7)
    for _ in range(EPOCHS):
        order = torch.from_numpy(generator.permutation(ROWS))
        drawn = uniform(ROWS, FEATURES + UNITS)
        for batch, numbers in zip(order.split(128), drawn.split(128), strict=True):
            kept = (numbers >= rate) / (1 - rate)
            hidden = first(work.inputs[0, batch] * kept[:, :FEATURES]).relu() * kept[:, FEATURES:]
            error = (last(hidden)[:, 0] - work.targets[0, batch]).square().mean()
            loss = error + decay * (first.weight.square().sum() + last.weight.square().sum())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def test_a_network_drops_at_its_inputs_and_before_its_output(stacked: Weights) -> None:
    dropouts = [layer for layer in stacked.network((0, 0, 0), 0.1) if isinstance(layer, nn.Dropout)]
    assert [layer.p for layer in dropouts] == [0.1, 0.1]


def test_the_splits_are_the_published_ones() -> None:
    table = Table(np.arange(30.0)[:, None], np.arange(30.0))
    np.random.seed(1)
    for fold in published_folds(table, 3):
        order = np.random.choice(range(30), 30, replace=False)
        assert fold.learn.targets.tolist() == order[:27].tolist()
        assert fold.ask.targets.tolist() == order[27:].tolist()
        inner = validation_fold(fold)
        assert inner.learn.targets.tolist() == order[:21].tolist()
        assert inner.ask.targets.tolist() == order[21:27].tolist()


def test_units_are_those_of_the_rows_learned_from() -> None:
    table = Table(np.array([[1.0, 5], [3, 5]]), np.array([10.0, 30]))
    standardised = Units.of(table).standardised(Table(np.array([[3.0, 6]]), np.array([40.0])))
    assert standardised.inputs.tolist() == [[1, 1]]
    assert standardised.targets.tolist() == [2]


def test_the_decay_is_that_of_the_paper() -> None:
    assert Setting(0.1, 0.5).decay(200) == pytest.approx(0.01**2 * 0.9 / (2 * 200 * 0.5))


def test_the_likelihood_is_that_of_a_mixture_of_normal_distributions() -> None:
    values = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double()
    targets = torch.linspace(-1, 1, 4).double()
    normal = torch.distributions.Normal(values.T, torch.full_like(values.T, 3**-0.5))
    equal = torch.distributions.Categorical(torch.ones(4, 7).double())
    mixture = torch.distributions.MixtureSameFamily(equal, normal)
    expected = mixture.log_prob(targets).mean().item()
    assert log_likelihood(values.numpy(), targets.numpy(), 3) == pytest.approx(expected, rel=1e-12)


def test_figures_are_in_the_targets_units() -> None:
    table = synthetic()
    units = Units.of(table)
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(FEATURES, 1))
    nn.init.zeros_(network[1].weight)
    nn.init.ones_(network[1].bias)
    found = figures(network, table, units, 0.04, 20)
    errors = table.targets - (units.target_mean + units.target_scale)
    assert found.deterministic_rmse == pytest.approx(found.rmse, rel=1e-12)
    assert found.rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-6)
    assert found.log_likelihood == pytest.approx(
        np.mean(-0.02 * errors**2) + 0.5 * log(0.04 / (2 * pi)), rel=1e-6
    )


def test_the_deterministic_error_is_that_of_the_whole_network() -> None:
    table = synthetic()
    units = Units.of(table)
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(FEATURES, 1)).eval()
    inputs = torch.from_numpy(units.standardised(table).inputs).float()
    answers = network(inputs)[:, 0].detach().numpy() * units.target_scale + units.target_mean
    found = figures(network, table, units, 0.04, 2)
    assert found.deterministic_rmse == pytest.approx(
        np.sqrt(np.mean((table.targets - answers) ** 2)), rel=1e-6
    )
    assert abs(found.rmse - found.deterministic_rmse) > 0.01


def test_the_setting_with_the_highest_likelihood_is_the_one_that_is_tested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uci = sys.modules["reproduction.uci"]
    asked = []

    def preferring(network: nn.Module, table: Table, _: Units, precision: float, samples: int) -> object:
        asked.append((network[0].p, precision, len(table)))
        return uci.Figures(1.0, -abs(network[0].p - 0.05) - abs(precision - 0.5), 1.0)

    monkeypatch.setattr(uci, "figures", preferring)
    (found,) = run_splits("energy", synthetic(), [4], Effort(1, 1, 1), lambda: None)
    assert (found["split"], found["rate"], found["precision"]) == (4, 0.05, 0.5)
    assert asked == [
        *((rate, precision, 17) for rate in (0.005, 0.01, 0.05, 0.1) for precision in (0.25, 0.5, 0.75)),
        (0.05, 0.5, 9),
    ]


def test_results_of_other_settings_and_lines_cut_off_are_no_results(tmp_path: Path) -> None:
    path = tmp_path / "results" / "one.jsonl"
    record = Record(path, {"epochs": 3, "rates": (0.1,)})
    assert record.entries() == []
    record.add([{"split": 0}, {"split": 1}])
    Record(path, {"epochs": 4, "rates": (0.1,)}).add([{"split": 2}])
    whole = path.read_text()
    path.write_text(whole + whole.splitlines()[0][:-5])
    record.add([{"split": 3}])
    assert [entry["split"] for entry in record.entries()] == [0, 1, 3]


def test_a_summary_is_a_mean_and_its_standard_error() -> None:
    assert Summary.of([1, 2, 3, 4]).words(3) == "2.500 ± 0.645"
    assert Summary.of([1]).words(1) == "1.0 ± nan"


def test_the_short_mode_runs_three_splits_once_and_its_tables_are_those_of_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(synthetic(), tmp_path / "concrete.csv")
    assert read_table(tmp_path / "concrete.csv").inputs.shape == (90, FEATURES)
    lines = command("uci", tmp_path, "--data", tmp_path, "--workers", 1)
    assert len(heads(lines)) == 2
    assert all(f"\n{head}\n" in PAGE for head in heads(lines))
    name, splits, *figures = cells(lines[2])
    assert (name, splits) == ("concrete", "3")
    assert all(re.fullmatch(r"-?\d+\.\d+ ± \d+\.\d+", figure) for figure in figures)
    (file,) = (tmp_path / "results").iterdir()
    kept = file.read_text().splitlines()
    first = [json.loads(line)["result"] for line in kept]
    assert sorted(result["split"] for result in first) == [0, 1, 2]
    file.write_text("\n".join(kept[:2]) + "\n")  # as after an interruption
    reproduce(capsys, "uci", tmp_path, "--data", tmp_path)
    *before, after = file.read_text().splitlines()
    assert before == kept[:2]
    assert json.loads(after)["result"] == pytest.approx(first[2], rel=1e-3)


def test_a_folder_without_sets_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for given, told in (((), "name a folder that has"), (("--data", tmp_path), f"{tmp_path} has none of")):
        with pytest.raises(SystemExit, match=rf"{told} concrete.csv, energy.csv, wine-red.csv"):
            reproduce(capsys, "uci", tmp_path, *given)
