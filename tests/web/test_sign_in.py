"""Keys on the page: what it says to who has none, or the wrong one."""

from pathlib import Path

import httpx
import pytest
from browsers import ENTER, Open, Tab
from repositories import Repository

from service.access.issue import issue
from service.access.keys import SCOPES, Scope

FLAG_ALL = {"measure": "predictive_entropy", "threshold": -1}


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def key(keys_file: Path, name: str, *scopes: Scope) -> str:
    return issue(keys_file, name, scopes or SCOPES)


def sign_in(tab: Tab, given: str, name: str = "Ada") -> None:
    tab.until("document.querySelector('#key')")
    tab.settled()
    for field, text in (("#name", name), ("#key", given)):
        tab.find(field).clear()
        tab.type(field, text)
    tab.press(ENTER)


def test_a_reviewer_signs_in_reviews_and_signs_out(
    repository: Repository, open_page: Open, keys_file: Path
) -> None:
    repository.add("rows", policy=FLAG_ALL)
    given = key(keys_file, "ward")
    tab = open_page("#/reviews?order=oldest", api_keys_file=keys_file)
    tab.reads("Sign in", "main h1")
    assert tab.focus.get_attribute("id") == "name"
    assert tab.text("#figures") == ""
    sign_in(tab, "unsure_guess")
    tab.reads("the key is none of this server's".capitalize(), "#trouble")
    sign_in(tab, given)
    tab.reads("Nothing here")
    assert tab.driver.current_url.endswith("#/reviews?order=oldest")
    answer = httpx.post(
        f"http://{tab.address}/v1/models/rows/uncertainty",
        json={"inputs": [[0.0] * 6]},
        headers={"Authorization": f"Bearer {given}"},
    )
    tab.open(f"#/reviews/{answer.json()['results'][0]['review_id']}")
    assert tab.find("#reviewer").get_attribute("value") == "Ada"
    tab.press("c")
    tab.reads("What is right?")
    tab.press("1", "r")
    tab.reads("Ada says a")
    assert given not in tab.run(
        "return document.documentElement.outerHTML + location.href + JSON.stringify(localStorage)"
    )
    tab.find("#sign-out").click()
    tab.reads("Sign in", "main h1")
    assert tab.run("return sessionStorage.length") == 0
    assert tab.text("#figures") == ""


def test_what_a_key_may_not_is_told_in_words(
    repository: Repository, open_page: Open, keys_file: Path
) -> None:
    repository.add("rows", policy=FLAG_ALL)
    given = key(keys_file, "client", "predict")
    tab = open_page(api_keys_file=keys_file)
    sign_in(tab, given)
    tab.reads("This key may not do that", "main h1")
    assert "the scope review, and this key has predict" in tab.text("[role=alert]")
    assert tab.texts("#figures dt") == ["Flag rate"]
    tab.press("g", "m")
    tab.reads("rows", "tbody th")
    tab.open("#/sign-in")
    assert tab.texts("main li") == [
        "may not review: see the queue, claim and resolve",
        "may see the models and what they are made of",
    ]


def test_a_reviewers_key_without_models_still_reviews(
    repository: Repository, open_page: Open, keys_file: Path
) -> None:
    """Names of classes are the model's: without them the class is written, not chosen."""
    repository.add("rows", policy=FLAG_ALL)
    client, reviewer = key(keys_file, "client", "predict"), key(keys_file, "reviewer", "review")
    tab = open_page(api_keys_file=keys_file)
    answer = httpx.post(
        f"http://{tab.address}/v1/models/rows/uncertainty",
        json={"inputs": [[0.0] * 6]},
        headers={"Authorization": f"Bearer {client}"},
    )
    sign_in(tab, reviewer)
    tab.until("document.querySelector('.items a')")
    tab.settled()
    tab.press("n")
    tab.until("document.querySelector('article')")
    tab.settled()
    tab.press("c")
    tab.until("document.querySelector('#label')")
    tab.settled()
    tab.press("b", ENTER)
    tab.reads("Ada says b")
    assert answer.json()["results"][0]["label"] in "abc"


def test_a_key_that_ends_is_told_and_asked_for_again(
    repository: Repository, open_page: Open, keys_file: Path
) -> None:
    given = key(keys_file, "ward")
    tab = open_page(api_keys_file=keys_file)
    sign_in(tab, given)
    tab.reads("Nothing here")
    tab.run("sessionStorage.setItem('unsure.key', 'unsure_revoked')")
    tab.press("g", "m")
    tab.reads("Sign in", "main h1")
    assert "does not take your key any more" in tab.text("[role=alert]")
    sign_in(tab, given)
    tab.reads("Models", "main h1")


def test_where_everything_is_protected_the_page_still_asks_for_a_key(
    repository: Repository, open_page: Open, keys_file: Path
) -> None:
    given = key(keys_file, "ward")
    tab = open_page(api_keys_file=keys_file, protect_all=True)
    sign_in(tab, given)
    tab.reads("Nothing here")
    assert tab.texts("#figures dt") == ["Queue", "Agreement", "Flag rate"]
