"""A calibrated regression on the page: what is wrong with a value is said as how far off it is."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from browsers import Open
from click.testing import CliRunner
from repositories import Repository

from service.cli import main

POLICY = {"measure": "standard_deviation", "threshold": 1.0}


def calibrated(repository: Repository, data: Path) -> None:
    """A value that is never more than 25 off."""
    settings: dict[str, Any] = {
        "source": {"kind": "factory", "factory": "networks:mlp", "arguments": {"outputs": 2}},
        "output": {"variance_head": True},
        "sampling": {"samples": 10},
    }
    repository.add("doses", task="regression", policy=POLICY, **settings)
    inputs = torch.randn(100, 6, generator=torch.Generator().manual_seed(1)).numpy()
    np.savez(data, inputs=inputs, targets=np.zeros((100, 1)))
    where = ["--repository", str(repository.path), "--factories", "networks", "--plan", "vmap"]
    promise = ["--tolerance", "25", "--target-error", "0.1"]
    told = CliRunner().invoke(main, ["calibrate", "doses", "--data", str(data), *where, *promise])
    assert told.exit_code == 0, told.output


def test_why_a_value_was_flagged_is_said_in_its_own_unit(
    repository: Repository, open_page: Open, tmp_path: Path
) -> None:
    calibrated(repository, tmp_path / "rows.npz")
    tab = open_page("#/models/doses")
    promised = "Of the rows that are not flagged, at most 10\u00a0% are more than 25 off"
    assert promised in tab.text()
    assert "of the others are more than 25 off; 10\u00a0% were allowed" in tab.text()
    far = 50 * torch.randn(50, 6, generator=torch.Generator().manual_seed(2))
    asked = {"inputs": far.tolist()}
    answer = httpx.post(f"http://{tab.address}/v1/models/doses/uncertainty", json=asked).json()
    result = next(result for result in answer["results"] if result["low_confidence"])
    tab.open(f"#/reviews/{result['review_id']}")
    why = tab.text(".why")
    assert "A value that is more than 25 off counts as wrong." in why
    between, noise = result["variance"][0], result["aleatoric_variance"][0]
    part = between / (between + noise)
    kind = "disagreement between the samples" if part > 0.5 else "noise that the model expects"
    assert f"Most of the variance ({max(part, 1 - part):.0%}".replace("%", "\u00a0%") + f") is {kind}" in why
