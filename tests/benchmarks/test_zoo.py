"""A sample of the networks of `make zoo`, of libraries that are here; and the comparison that judges them."""

import sys

import pytest
import torch
from reproductions import BENCHMARKS
from torch import Tensor, nn

sys.path.append(str(BENCHMARKS))  # last: it has names that fixtures have too

import zoo
from zoo_entry import Entry, Flat, Input
from zoo_models import ENTRIES

SAMPLE = (
    "torch GRUCell in a loop",
    "transformers BloomForSequenceClassification",
    "transformers ElectraForTokenClassification",
)


@pytest.mark.parametrize("name", SAMPLE)
def test_a_network_of_the_zoo_is_right(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "SAMPLES", 16)
    (entry,) = [entry for entry in ENTRIES if f"{entry.library} {entry.name}" == name]
    outcome = zoo.examine(entry)
    assert outcome.verdict == zoo.RIGHT, outcome


class Shifted(nn.Module):
    """Drops in training mode, and twice as much where nobody looks: what no site explains."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.layer, self.head, self.rate = nn.Linear(4, 16), nn.Linear(16, 2), rate

    def forward(self, values: Tensor) -> Tensor:
        given: Tensor = self.head(nn.functional.dropout(self.layer(values), self.rate, self.training))
        return given


def test_another_rate_is_found_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "SAMPLES", 200)
    rates = iter([0.3, 0.6])  # the naive loop's network, and the engine's
    entry = Entry("torch", "shifted", lambda: Shifted(next(rates)), (Input((4,)),))
    assert zoo.examine(entry).verdict == zoo.WRONG


def test_standard_errors_of_means_and_variances() -> None:
    torch.manual_seed(0)
    first, second = torch.randn(2, 4000, 3, 2).double()
    means, variances = zoo.z_scores(first, second)
    assert means < 4
    assert variances < 4
    # Means of 4000 differ by 0.2 with an error of √(2/4000), variances by 0.44 with √((2 + 2·1.44²)/4000).
    assert zoo.z_scores(first[:, :1, :1], second[:, :1, :1] + 0.2)[0] == pytest.approx(0.2 / 0.0224, abs=3)
    assert zoo.z_scores(first[:, :1, :1], second[:, :1, :1] * 1.2)[1] == pytest.approx(0.44 / 0.0392, abs=3)


def test_a_network_that_ends_its_process_is_a_row_of_the_table() -> None:
    def end() -> nn.Module:
        raise SystemExit(3)

    crashed = Entry("torch", "ends | itself", end, (Input((4,)),))
    ((entry, outcome),) = zoo.run([crashed], 1)
    assert outcome.verdict == zoo.CRASHED
    assert "ends \\| itself" not in outcome.reason
    lines = list(zoo.table([(entry, outcome)]))
    assert "1 networks: 1 crashed." in lines


def test_several_outputs_are_one_row_of_numbers() -> None:
    class Several(nn.Module):
        def forward(self, values: Tensor) -> dict[str, object]:
            return {"map": values[:, None], "parts": (values + 1, None), "rows": torch.tensor(len(values))}

    values = torch.randn(3, 2)
    assert torch.equal(Flat(Several())(values), torch.cat([values, values + 1], 1))
