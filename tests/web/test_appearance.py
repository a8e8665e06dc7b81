"""How the page looks: at every width, light and dark, nothing is cut off, pale, or without a name."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browsers import Open, Tab
from looks import CUT_OFF, NAMELESS, PALE, assert_looks_well
from repositories import Repository

from service.access.issue import issue

FLAG_ALL = {"measure": "predictive_entropy", "threshold": -1}
LONG = "a-name-that-is-as-long-as-names-of-models-are-that-somebody-else-has-chosen.v2"


def filled(repository: Repository) -> None:
    classes = {"labels": ["benign", "malignant", "a class whose name goes on and on"]}
    image = [{"name": "image", "dtype": "float32", "shape": [1, 6, 6]}]
    repository.add(LONG, factory="pixels", input=image, output=classes, policy=FLAG_ALL)
    (repository.add("broken") / "weights.safetensors").unlink()


def views(tab: Tab) -> dict[str, Callable[[], None]]:
    """Every view there is, and how to get there."""
    url = f"http://{tab.address}/v1"
    picture = [[[row * column / 25 for column in range(6)] for row in range(6)]]
    asked = {"inputs": [picture, picture]}
    results: Any = httpx.post(f"{url}/models/{LONG}/uncertainty", json=asked).json()["results"]
    claimed, resolved = (result["review_id"] for result in results)
    for review in (claimed, resolved):
        httpx.post(f"{url}/reviews/{review}/claim", json={"reviewer": "Ada"}).raise_for_status()
    said = {"reviewer": "Ada", "label": "benign", "note": "clear"}
    httpx.post(f"{url}/reviews/{resolved}/resolve", json=said).raise_for_status()
    pending = httpx.post(f"{url}/models/{LONG}/uncertainty", json=asked).json()["results"][0]["review_id"]
    tab.run("sessionStorage.setItem('unsure.reviewer', 'Ada')")
    addresses = {
        "queue": "#/reviews",
        "empty queue": "#/reviews?model=none",
        "pending": f"#/reviews/{pending}",
        "claimed": f"#/reviews/{claimed}?status=any",
        "resolved": f"#/reviews/{resolved}?status=any",
        "models": "#/models",
        "model": f"#/models/{LONG}",
        "no model": "#/models/none",
    }
    return {name: lambda where=where: tab.open(where) for name, where in addresses.items()}  # type: ignore[misc]


def test_every_view_looks_well(repository: Repository, open_page: Open) -> None:
    filled(repository)
    tab = open_page()
    for name, show in views(tab).items():
        show()
        assert_looks_well(tab, name)
    tab.press("?")
    assert_looks_well(tab, "keys")
    tab.run("document.querySelector('dialog').close()")


def test_signing_in_looks_well(open_page: Open, tmp_path: Any) -> None:
    issue(tmp_path / "keys.toml", "ward", ["review"])
    tab = open_page(api_keys_file=tmp_path / "keys.toml")
    tab.type("#key", "unsure_guess")
    tab.find("form .strong").click()
    tab.until("document.querySelector('#trouble .notice')")
    assert_looks_well(tab, "sign in")


@pytest.mark.parametrize(
    ("check", "plant", "found"),
    [
        (CUT_OFF, "document.querySelector('h1').style.width = '5000px'", "page: "),
        (PALE, "document.querySelector('h1').style.color = 'rgb(150, 150, 150)'", "Review queue: 2."),
        (NAMELESS, "document.querySelector('main').append(document.createElement('input'))", "<input>"),
        (NAMELESS, "document.querySelector('main').append(document.createElement('h4'))", "h4 comes too"),
    ],
)
def test_what_looks_bad_is_found(open_page: Open, check: str, plant: str, found: str) -> None:
    tab = open_page()
    assert tab.run(check) == []
    tab.run(plant)
    assert any(one.startswith(found) for one in tab.run(check))


def test_the_keyboard_reaches_everything_and_shows_where_it_is(
    repository: Repository, open_page: Open
) -> None:
    filled(repository)
    tab = open_page("#/models")
    tab.run("document.body.setAttribute('tabindex', '-1'); document.body.focus()")
    reached = []
    while not reached or reached[-1] != "Metrics":
        tab.press("\ue004")  # tab
        reached.append(
            tab.focus.get_attribute("aria-label") or tab.focus.text or str(tab.focus.get_attribute("id"))
        )
        outline = (
            tab.focus.value_of_css_property("outline-style"),
            tab.focus.value_of_css_property("outline-width"),
        )
        assert outline == ("solid", "2px"), reached[-1]
        assert len(reached) < 30, reached
    expected = [
        "Skip to the content",
        "unsure",
        "Review queue",
        "Models",
        "Keys ?",
        "The models of this server",
        LONG,
    ]
    assert [one for one in reached if one in expected] == expected
