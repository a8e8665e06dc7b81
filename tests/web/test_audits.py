"""Audits on the page: hidden among the flagged while they are open, and what they say of a promise."""

import re
from pathlib import Path
from typing import Any

import httpx
import networks
import numpy as np
import pytest
import torch
from browsers import ENTER, Open, Tab
from click.testing import CliRunner
from looks import assert_looks_well
from repositories import Repository

from service.cli import main

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
NEVER = {"measure": "predictive_entropy", "threshold": 10}


def post(tab: Tab, path: str, body: Any) -> Any:
    answer = httpx.post(f"http://{tab.address}/v1/{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(tab: Tab, path: str) -> Any:
    return httpx.get(f"http://{tab.address}/v1/{path}").json()


def said_wrong(tab: Tab, review: dict[str, Any], labels: str = "abc") -> None:
    """Say that the model was wrong."""
    other = next(one for one in labels if one != review["prediction"]["label"])
    post(tab, f"reviews/{review['id']}/claim", {"reviewer": "Ada"})
    post(tab, f"reviews/{review['id']}/resolve", {"reviewer": "Ada", "label": other})


@pytest.fixture
def calibrated(repository: Repository, tmp_path: Path) -> Repository:
    """A model that promises something: rows are labelled as the whole network does."""
    torch.manual_seed(1)
    network = networks.mlp().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False).mul_(4 if parameter.dim() > 1 else 0)
    repository.add("sure", network=network, sampling={"samples": 10, "seed": 3})
    inputs = torch.randn(400, 6)
    np.savez(tmp_path / "rows.npz", inputs=inputs.numpy(), targets=network(inputs).argmax(1).numpy())
    where = ["--repository", str(repository.path), "--factories", "networks", "--plan", "vmap"]
    asked = ["calibrate", "sure", "--data", str(tmp_path / "rows.npz"), *where, "--target-error", "0.3"]
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 0, told.output
    return repository


def test_an_open_item_does_not_tell_whether_it_is_an_audit(repository: Repository, open_page: Open) -> None:
    repository.add("quieter", policy=NEVER)
    repository.add("flagging", policy={"measure": "predictive_entropy", "threshold": -1})
    tab = open_page(review_audit_share=1.0)
    for model in ("quieter", "flagging"):
        post(tab, f"models/{model}/uncertainty", {"inputs": [ROW]})
    audit, flagged = get(tab, "reviews")["reviews"]
    texts = []
    for review in (audit, flagged):
        tab.open(f"#/reviews/{review['id']}?order=uncertain")  # an address of before
        tab.reads("so that all are judged alike", ".why")
        assert tab.texts("#order-filter option") == ["oldest first"]
        tab.find("article details summary").click()
        assert not tab.run("return document.querySelector('#audit-filter, .spread, .reasons')")
        shown = re.sub(r"says \w+", "says", tab.text("article"))
        for name in ("policy_id", "request_id", "id", "model"):
            shown = shown.replace(review[name], name)
        texts.append(re.sub(r"row \d|version.*", "", shown))
    assert texts[0] == texts[1]
    lines = tab.texts(".items a")
    assert {line.split("\n")[1] for line in lines} == {"waits"}
    assert "%" not in "".join(lines)
    assert "entropy" not in "".join(lines)
    assert_looks_well(tab, "an open item that may be an audit")
    tab.looked_at(1440, "light")
    tab.open(f"#/reviews/{audit['id']}")
    tab.press("c", "Ada", ENTER)
    tab.reads("What is right?")
    assert "so that all are judged alike" in tab.text(".why")
    tab.press("1", "r")
    tab.reads("It was not flagged. It was drawn at random", ".why")
    tab.until("document.querySelector('.spread')")
    tab.open("#/reviews?status=resolved")
    assert "audit, predictive entropy" in tab.text(".items")
    tab.find("#audit-filter").send_keys("flagged rows")
    tab.reads("Nothing here")
    assert "audit=false" in tab.driver.current_url


def test_what_audits_and_scores_say_of_a_promise_is_seen_while_it_changes(
    calibrated: Repository, open_page: Open
) -> None:
    tab = open_page("#/models/sure", review_audit_share=1.0)
    tab.reads("not audited", "#watched")
    assert tab.texts("#figures dt")[3:] == ["Audit error", "Drift"]
    assert (tab.figure("Audit error"), tab.figure("Drift")) == ("–", "–")
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(5)).tolist()
    results = post(tab, "models/sure/uncertainty", {"inputs": rows})["results"]
    row = next(row for row, result in zip(rows, results, strict=True) if not result["low_confidence"])
    for _ in range(6):
        post(tab, "models/sure/uncertainty", {"inputs": [row] * 100})
    drift = get(tab, "reviews/stats")["watched"][0]["score_drift"]
    assert drift > 0.25
    pending = get(tab, "reviews?limit=200")["reviews"]
    for review in pending[:25]:
        said_wrong(tab, review)
    (watched,) = get(tab, "reviews/stats")["watched"]
    audits = watched["audits"]
    assert (audits["rows"] > 10, audits["error"], audits["promised_error"]) == (True, 1.0, 0.3)
    assert audits["refuted"]
    assert audits["error_lower_bound"] > 0.3
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # as who comes back to the tab
    tab.reads("promise refuted", "#watched")
    tab.reads(f"Of {audits['rows']} rows that were not flagged", "#watched")
    tab.reads("refuted", "[data-figure='Audit error'] dd")
    assert "moved" in tab.text("#watched dl")
    assert_looks_well(tab, "a promise that is refuted")
    tab.looked_at(1440, "light")
    tab.press("g", "m")
    tab.reads("refuted", "tbody td")
    assert tab.texts("thead th")[-2:] == ["Audit error", "Score drift"]
    assert_looks_well(tab, "models that are watched")
    tab.run("document.querySelector('tbody a').focus()")
    said_wrong(tab, pending[25])
    before = tab.text("tbody")
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")
    tab.until("document.querySelector('tbody').innerText !== arguments[0]", before)
    assert tab.focus.text == "sure"
