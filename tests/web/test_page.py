"""The page in a real browser: what a reviewer sees and does."""

import json
from pathlib import Path
from typing import Any

import httpx
import networks
import numpy as np
import pytest
import taggers
import texts
import torch
from browsers import END, ENTER, ESCAPE, Open, Tab
from click.testing import CliRunner
from repositories import Repository
from reviewed import row

from service.cli import main
from service.review.database import Database
from service.review.store import Store

FLAG_ALL = {"measure": "predictive_entropy", "threshold": -1}
ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
PICTURE = [[[float(row == column) for column in range(6)] for row in range(6)]]
PIXELS: dict[str, Any] = {
    "factory": "pixels",
    "input": [{"name": "image", "dtype": "float32", "shape": [1, 6, 6]}],
    "output": {"labels": ["7", "8", "9"]},
    "policy": FLAG_ALL,
}


def flag(tab: Tab, model: str, row: Any, **given: Any) -> str:
    """Ask about a row that is flagged; gives its review's identifier."""
    return flagged(tab, model, row, **given)["review_id"]


def flagged(tab: Tab, model: str, row: Any, **given: Any) -> dict[str, Any]:
    answer = httpx.post(f"http://{tab.address}/v1/models/{model}/uncertainty", json={"inputs": [row]} | given)
    result: dict[str, Any] = answer.json()["results"][0]
    assert result["review_id"], answer.text
    return result


def percent(share: float) -> str:
    digits = f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}".replace(".0%", "%")
    return digits.replace("%", "\u00a0%")


def ask(tab: Tab, path: str, body: Any = None) -> Any:
    url = f"http://{tab.address}/v1/reviews/{path}"
    return (httpx.get(url) if body is None else httpx.post(url, json=body)).json()


def test_a_flagged_row_is_claimed_labelled_and_resolved_by_keys_alone(
    repository: Repository, open_page: Open
) -> None:
    repository.add("pictures", **PIXELS)
    tab = open_page()
    tab.reads("Nothing here")
    assert tab.figure("Queue") == "0"
    result = flagged(tab, "pictures", PICTURE)
    tab.open()
    assert tab.until("document.querySelector('[data-figure=Queue] dd')?.innerText") == "1"
    tab.press("n")
    tab.until("document.querySelector('canvas')")
    assert tab.text(".answer") == f"The model says {result['label']} ({percent(result['confidence'])})"
    tab.press("c")
    assert tab.focus.get_attribute("id") == "reviewer"
    tab.press("Ada", ENTER)
    tab.reads("What is right?")
    assert ask(tab, result["review_id"])["claim"]["reviewer"] == "Ada"
    tab.press(result["label"])
    assert tab.focus.get_attribute("value") == result["label"]
    tab.press("r")
    tab.reads("Ada says")
    tab.reads("The model was right.")
    resolution = ask(tab, result["review_id"])["resolution"]
    assert (resolution["reviewer"], resolution["label"], resolution["agreed"]) == (
        "Ada",
        result["label"],
        True,
    )
    tab.reads("0", "[data-figure=Queue] dd")
    tab.reads("100\u00a0%", "[data-figure=Agreement] dd")
    tab.reads("100\u00a0%", "[data-figure='Flag rate'] dd")
    tab.press("g", "m")
    tab.reads("Rows sampled", "thead")
    assert tab.texts("tbody td.figure") == ["1", "100\u00a0%", "0", "100\u00a0%"]


def test_an_image_is_drawn_as_its_pixels(repository: Repository, open_page: Open) -> None:
    repository.add("pictures", **PIXELS)
    tab = open_page()
    tab.open(f"#/reviews/{flag(tab, 'pictures', PICTURE)}")
    drawn = tab.run(
        "const c = document.querySelector('canvas');"
        "const image = c.getContext('2d').getImageData(0, 0, c.width, c.height);"
        "return [...image.data].filter((_, place) => place % 4 === 0)"
    )
    assert drawn == [255 * int(value) for row in PICTURE[0] for value in row]
    assert "6 × 6 pixels; black is 0, white is 1" in tab.text()


def test_a_table_and_a_text_are_shown_as_such(repository: Repository, open_page: Open) -> None:
    names = ["age", "<b>sex</b>", "weight", "pressure", "sugar", "lipids"]
    repository.add("rows", policy=FLAG_ALL, columns={"features": names})
    repository.add("nameless", policy=FLAG_ALL)
    texts.add(repository, policy=FLAG_ALL)
    tab = open_page()
    for model, heads in (("rows", names), ("nameless", list("123456"))):
        tab.open(f"#/reviews/{flag(tab, model, ROW)}")
        assert tab.texts("[aria-label=Input] tbody th") == heads
        assert tab.texts("[aria-label=Input] td") == ["0.5", "−1", "2", "0", "1.5", "−0.5"]
    # Sent by name the names are the row's own, in its own order.
    by_name = dict(reversed(list(zip(names, ROW, strict=True))))
    tab.open(f"#/reviews/{flag(tab, 'rows', by_name)}")
    assert tab.texts("[aria-label=Input] tbody th") == names[::-1]
    assert tab.texts("[aria-label=Input] td") == ["−0.5", "1.5", "0", "2", "−1", "0.5"]
    tab.open(f"#/reviews/{flag(tab, 'films', 'a good film')}")
    assert tab.text("blockquote") == "a good film"


def test_a_long_text_leaves_what_is_to_be_said_of_it_in_reach(
    repository: Repository, open_page: Open
) -> None:
    database = Database(f"sqlite:///{repository.path.parent}/reviews.db")
    (review,) = Store(database, 60.0).enter([row(input=json.dumps("a good film " * 5000).encode())])
    database.close()
    tab = open_page(f"#/reviews/{review}")
    shown = tab.find("main blockquote")
    assert tab.run("return arguments[0].scrollHeight > 10 * arguments[0].clientHeight", shown)
    assert tab.run("return document.documentElement.scrollHeight < 3 * innerHeight")
    tab.run("arguments[0].focus()", shown)
    tab.press(END)
    tab.until("arguments[0].scrollTop > 0", shown)


def test_probabilities_stand_with_their_spread(repository: Repository, open_page: Open) -> None:
    repository.add("rows", policy=FLAG_ALL)
    tab = open_page()
    result = flagged(tab, "rows", ROW)
    tab.open(f"#/reviews/{result['review_id']}")
    order = sorted(range(3), key=lambda place: -result["mean"][place])
    assert tab.texts("[aria-label='Class probabilities'] tbody th") == ["abc"[place] for place in order]
    assert len(tab.texts("svg.spread .whisker")) == 3
    mean, deviation = result["mean"][order[0]], result["variance"][order[0]] ** 0.5
    shown = tab.texts("[aria-label='Class probabilities'] .figure")[1]
    assert shown == f"{percent(mean)} ± {percent(deviation)}"
    assert f"It hesitates between {'abc'[order[0]]}" in tab.text(".why")
    assert result["reasons"][0]["message"] in tab.text(".why")


def test_the_labels_of_a_texts_tokens_are_judged_together(repository: Repository, open_page: Open) -> None:
    taggers.add(repository, policy=FLAG_ALL)
    tab = open_page()
    result = flagged(tab, "tags", "a <b>good</b> film")
    review = result["review_id"]
    tab.open(f"#/reviews/{review}")
    tokens = result["tokens"]
    table = "[aria-label='Labels of tokens']"
    assert tab.texts(f"{table} tbody th") == [f"“{token['text']}”" for token in tokens]
    shown = tab.texts(f"{table} td")
    assert shown[::3] == [token["label"] for token in tokens]
    assert shown[1::3] == [percent(token["confidence"]) for token in tokens]
    worst = max(tokens, key=lambda token: token["score"])
    assert f"Of its {len(tokens)} tokens, “{worst['text']}”, labelled {worst['label']}, is" in tab.text(
        ".why"
    )
    ask(tab, f"{review}/claim", {"reviewer": "Ada"})
    tab.run("sessionStorage.setItem('unsure.reviewer', 'Ada')")
    tab.open(f"#/reviews/{review}")
    assert tab.texts(".choices label span:first-of-type") == ["correct", "wrong"]
    tab.press("1")
    tab.press("r")
    tab.reads("The model was right.")
    assert ask(tab, review)["resolution"]["agreed"]
    tab.open("#/models/tags")
    tab.reads("For each token, one of 4 classes: O, B-FILM, B-WORD, I-WORD.")


def test_values_of_a_regression_are_written(repository: Repository, open_page: Open) -> None:
    policy = {"measure": "standard_deviation", "threshold": -1}
    repository.add(
        "doses", factory="values", task="regression", output={"variance_head": True}, policy=policy
    )
    tab = open_page()
    result = flagged(tab, "doses", ROW)
    review = result["review_id"]
    ask(tab, f"{review}/claim", {"reviewer": "Ada"})
    tab.run("sessionStorage.setItem('unsure.reviewer', 'Ada')")
    tab.open(f"#/reviews/{review}")
    assert tab.focus.get_attribute("id") == "value-0"
    tab.type("#value-0", "1000")
    tab.type("#value-1", "-2.5")
    tab.find("#note").send_keys("seen twice")
    tab.press(ENTER)
    assert ask(tab, review)["status"] == "claimed"  # a line break in the note
    tab.find("form .strong").click()
    tab.reads("The model was wrong.")
    resolution = ask(tab, review)["resolution"]
    assert (resolution["value"], resolution["note"].strip()) == ([1000.0, -2.5], "seen twice")


TEXT = "<b>a good film</b>"
MARKUP = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


def test_markup_from_outside_stays_text(repository: Repository, open_page: Open) -> None:
    labels = [MARKUP, f"<b>{MARKUP}", "c&lt;"]
    repository.add("rows", policy=FLAG_ALL, output={"labels": labels})
    texts.add(repository, policy=FLAG_ALL)
    tab = open_page()
    review = flag(tab, "rows", ROW)
    ask(tab, f"{review}/claim", {"reviewer": MARKUP})
    told = flag(tab, "films", TEXT)
    for where in ("#/reviews?status=any", f"#/reviews/{review}?status=any&model={MARKUP}", "#/models/rows"):
        tab.open(where)
        assert tab.run("return document.querySelectorAll('main img, main script, main b').length") == 0
    tab.open(f"#/reviews/{review}")
    assert f"{MARKUP} has claimed it" in tab.text()
    ask(tab, f"{review}/resolve", {"reviewer": MARKUP, "label": labels[0], "note": MARKUP})
    tab.open(f"#/reviews/{review}")
    assert tab.text("main blockquote") == MARKUP
    tab.open(f"#/reviews/{told}")
    assert tab.text("main blockquote") == TEXT
    ask(tab, f"{told}/claim", {"reviewer": MARKUP})
    tab.run("sessionStorage.setItem('unsure.reviewer', arguments[0])", MARKUP)
    for where in (f"#/reviews/{told}", f"#/reviews?audit={MARKUP}&order={MARKUP}&status={MARKUP}"):
        tab.open(where)
        assert tab.run("return document.querySelectorAll('main img, main script, main b').length") == 0
    tab.open(f"#/models/{MARKUP.replace('/', '%2F')}")
    assert MARKUP[:30] in tab.text()
    assert tab.run("return document.title") != "run"
    assert tab.run("return document.querySelectorAll('main img, main script, main b').length") == 0


def test_the_policy_holds_in_the_browser(repository: Repository, open_page: Open) -> None:
    """What a test above looks for in vain is stopped where it is tried."""
    tab = open_page()
    with pytest.raises(Exception, match="TrustedHTML"):
        tab.run("document.querySelector('main').innerHTML = '<b>bold</b>'")
    tab.run("document.querySelector('main').setAttribute('style', 'color: red')")
    complaints = tab.complaints()
    assert any("TrustedHTML" in one for one in complaints)
    assert any("style-src" in one or "inline style" in one for one in complaints)


def test_what_another_did_meanwhile_is_told_in_words(repository: Repository, open_page: Open) -> None:
    repository.add("rows", policy=FLAG_ALL)
    tab = open_page()
    review = flag(tab, "rows", ROW)
    tab.open(f"#/reviews/{review}")
    ask(tab, f"{review}/claim", {"reviewer": "Grace"})
    tab.type("#reviewer", "Ada")
    tab.press(ENTER)
    tab.reads("Grace has claimed it")
    assert "Somebody was faster" in tab.text("[role=alert]")
    tab.press("x")
    tab.reads("Claim it")
    assert ask(tab, review)["status"] == "pending"


def test_the_list_is_filtered_ordered_and_walked(repository: Repository, open_page: Open) -> None:
    repository.add("one", policy=FLAG_ALL)
    repository.add("two", policy=FLAG_ALL)
    tab = open_page()
    first, second = flag(tab, "one", ROW), flag(tab, "two", [0.0] * 6)
    third = flag(tab, "one", [9.0] * 6)
    tab.open("#/reviews?order=oldest")
    identifiers = "return [...document.querySelectorAll('.items [data-id]')].map(e => e.dataset.id)"
    assert tab.run(identifiers) == [first, second, third]
    tab.press("n")
    for review, key in ((first, "n"), (second, "n"), (third, "p"), (second, "p")):
        tab.until("document.querySelector('article')?.dataset.review === arguments[0]", review)
        tab.settled()
        tab.press(key)
    tab.until("document.querySelector('article')?.dataset.review === arguments[0]", first)
    tab.find("#model-filter").send_keys("one")
    tab.until("document.querySelectorAll('.items [data-id]').length === 2")
    assert tab.run(identifiers) == [first, third]
    assert tab.focus.get_attribute("id") == "model-filter"
    assert "model=one" in tab.driver.current_url


def test_a_row_that_is_flagged_while_somebody_looks_appears(repository: Repository, open_page: Open) -> None:
    repository.add("rows", policy=FLAG_ALL)
    tab = open_page()
    tab.reads("0", "[data-figure=Queue] dd")
    review = flag(tab, "rows", ROW)
    tab.run("document.dispatchEvent(new Event('visibilitychange'))")  # as who comes back to the tab
    tab.until("document.querySelector('.items [data-id]')?.dataset.id === arguments[0]", review)
    tab.reads("1", "[data-figure=Queue] dd")
    tab.press("n")
    tab.until("document.querySelector('article')?.dataset.review === arguments[0]", review)


def test_the_keys_are_listed_and_can_be_turned_off(open_page: Open) -> None:
    tab = open_page()
    tab.press("?")
    assert "next item" in tab.text("dialog")
    assert "go to the models" in tab.text("dialog")
    tab.press(ESCAPE)
    tab.until("!document.querySelector('dialog')")
    tab.press("g", "m")
    tab.until("document.querySelector('h1')?.innerText === 'Models'")
    tab.find("#help").click()
    tab.find("dialog [type=checkbox]").click()
    tab.press(ESCAPE)
    tab.until("!document.querySelector('dialog')")
    tab.press("?")
    assert tab.text("dialog") == ""
    tab.run("localStorage.clear()")


def test_a_server_that_is_gone_is_told_in_words(open_page: Open) -> None:
    tab = open_page()
    tab.cut_off(offline=True)
    tab.press("g", "m")
    tab.reads("The server does not answer")
    tab.reads("looks again by itself")
    tab.cut_off(offline=False)
    tab.reads("Models", "main h1")


def test_a_calibration_is_told_in_words_and_drawn(
    repository: Repository, open_page: Open, tmp_path: Path
) -> None:
    """Rows are labelled as the whole network does, so that only doubtful ones are wrong."""
    torch.manual_seed(1)
    network = networks.mlp().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False).mul_(4 if parameter.dim() > 1 else 0)
    repository.add("sure", network=network, sampling={"samples": 10, "seed": 3})
    repository.add("unmeasured")
    inputs = torch.randn(400, 6)
    np.savez(tmp_path / "rows.npz", inputs=inputs.numpy(), targets=network(inputs).argmax(1).numpy())
    where = ["--repository", str(repository.path), "--factories", "networks", "--plan", "vmap"]
    asked = ["calibrate", "sure", "--data", str(tmp_path / "rows.npz"), *where, "--target-error"]
    told = CliRunner().invoke(main, [*asked, "0.3"])
    assert told.exit_code == 0, told.output
    tab = open_page("#/models/sure")
    shown = httpx.get(f"http://{tab.address}/v1/models/sure").json()["calibration"]
    assert "Of the rows that are not flagged, at most 30\u00a0% are wrong" in tab.text()
    assert f"On {shown['rows']} labelled rows {percent(shown['flagged_share'])} were flagged" in tab.text()
    assert len(tab.texts(".curve path")) == 2
    assert_drawn(tab, shown)
    counts = [str(count) for count in shown["histogram"]["counts"]]
    tab.find(".curve ~ details summary").click()
    assert tab.texts("[aria-label='Scores of the rows'] td:nth-child(2)") == counts
    assert len(tab.texts("[aria-label=Measures] tbody tr")) == len(shown["scores"]) > 1
    assert "Temperature" not in tab.texts("dl.facts dt")
    assert CliRunner().invoke(main, [*asked, "0.001"]).exit_code == 0
    written = repository.path / "sure" / "1" / "calibration.json"
    written.write_text(
        written.read_text("utf-8").replace('"temperature": 1.0', '"temperature": 0.7'), "utf-8"
    )
    httpx.post(f"http://{tab.address}/v2/repository/models/sure/load").raise_for_status()
    tab.open("#/models/sure")
    assert "Every row is flagged" in tab.text()
    assert "No threshold keeps 0.1\u00a0% on" in tab.text()
    assert "Temperature\n0.7" in tab.text()
    tab.open(f"#/reviews/{flag(tab, 'sure', ROW)}")
    assert tab.text(".why").startswith("Every row of this model is flagged for now")
    assert "hesitates between" in tab.text(".why")
    tab.open("#/models/unmeasured")
    assert "This version is not calibrated" in tab.text()
    assert "not certified" in tab.text()


def assert_drawn(tab: Tab, shown: dict[str, Any]) -> None:
    """Risk and coverage as a line with the chosen point on it, reliability as dots; also in words."""
    points = "return document.querySelector(arguments[0]).getAttribute('points').split(' ').length"
    curve, bins = shown["curves"]["risk_coverage"], shown["curves"]["reliability_rows"]
    assert tab.run(points, ".chart .found") == len(curve["across"]) <= 200
    assert len(tab.texts(".chart .bin")) == len(bins)
    coverage, risk = shown["accepted"] / shown["rows"], shown["errors"] / shown["accepted"]
    told = tab.run("return document.querySelector('.chart .chosen title').textContent")
    assert told == f"{percent(coverage)} not flagged, {percent(risk)} wrong"
    where = tab.run(
        "const box = document.querySelector('.chart .chosen'), grid = document.querySelector('.chart .grid');"
        "const [left, right] = grid.getAttribute('d').match(/[\\d.]+/g).filter((_, place) => place !== 1);"
        "return (box.getAttribute('cx') - left) / (right - left)"
    )
    assert where == pytest.approx(coverage, abs=0.001)
    names = [chart.split(":")[0] for chart in labels(tab)]
    assert names == ["Risk and coverage", "Reliability"]
    assert f"with all {percent(curve['up'][-1])}" in labels(tab)[0]
    for summary in tab.driver.find_elements("css selector", ".charts summary"):
        summary.click()
    assert tab.texts("[aria-label='Risk by coverage'] td")[-1] == percent(curve["up"][-1])
    assert tab.texts("[aria-label=Reliability] td:last-child") == [str(rows) for rows in bins]


def labels(tab: Tab) -> list[str]:
    return list(tab.run("return [...document.querySelectorAll('.chart')].map(e => e.ariaLabel)"))


def test_models_are_described(repository: Repository, open_page: Open) -> None:
    repository.add("rows", policy={"measure": "predictive_entropy", "threshold": 0.9})
    (repository.add("broken") / "weights.safetensors").unlink()
    tab = open_page("#/models")
    rows = tab.texts("tbody tr")
    assert "not available" in rows[0]
    assert "No such file" in rows[0]
    tab.find("tbody a").click()
    tab.reads("rows", "main h1")
    tab.settled()
    assert "predictive entropy" in tab.text()
    assert "is above 0.9" in tab.text()
    assert "2 of 2 places where the model drops are sampled" in tab.text()
    tab.open("#/models/none")
    assert "There is no model 'none'" in tab.text("[role=alert]")
    tab.open("#/nowhere")
    assert "nothing at that address" in tab.text()
