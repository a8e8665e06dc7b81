"""`unsure reviews`: data on stdout, and an import of labels that is whole or nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from reviewed import VALUED, row

from service.cli import main
from service.review.database import Database
from service.review.store import Store


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/reviews.db"


@pytest.fixture
def real(database: Database) -> Store:
    """A store of the clock on the wall, as the command's own."""
    return Store(database, 60.0)


def command(url: str, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["reviews", *arguments, "--url", url], input=text)


def lines(*labels: dict[str, Any]) -> str:
    return "\n".join(json.dumps(one) for one in labels)


def model_of(labels: list[str], path: Path) -> Path:
    """Write a model.toml with labels into a repository; gives the repository."""
    folder = path / "models" / "digits"
    folder.mkdir(parents=True)
    (folder / "model.toml").write_text(
        'name = "digits"\ntask = "classification"\nsource = {kind = "factory", factory = "a:b"}\n'
        'input = [{name = "x", dtype = "float32", shape = [1]}]\n'
        f"output = {{labels = {json.dumps(labels)}}}\n"
        'policy = {measure = "predictive_entropy", threshold = 0.5}\n'
    )
    return folder.parent


def test_items_are_listed_counted_and_exported(real: Store, database_url: str) -> None:
    first, second = real.enter([row(0, score=0.25), row(1, model="other")])
    listed = command(database_url, "list").stdout.splitlines()
    assert [line.split("  ")[0] for line in listed] == [second, first]
    assert "pending   digits/1  predictive_entropy 0.25  3" in listed[1]
    assert len(command(database_url, "list", "--model", "other").stdout.splitlines()) == 1
    assert "other/1  pending 1  claimed 0  resolved 0  agreed 0" in command(database_url, "stats").stdout
    exported = [json.loads(line) for line in command(database_url, "export").stdout.splitlines()]
    assert [one["id"] for one in exported] == [first, second]
    assert exported[0]["input"] == {"text": "é", "x": [1.5, 2.0]}
    tasks = json.loads(command(database_url, "export", "--format", "label-studio").stdout)
    assert [one["data"]["review_id"] for one in tasks] == [first, second]
    nothing = command(database_url, "export", "--format", "label-studio", "--status", "resolved")
    assert json.loads(nothing.stdout) == []


def test_labels_are_imported_and_again_change_nothing(real: Store, database_url: str) -> None:
    first, second, third = real.enter([row(0), row(1), VALUED])
    real.claim(second, "bob")
    labels = lines(
        {"id": first, "label": "3", "note": "clear"},
        {"id": second, "label": "4", "reviewer": "bob"},
        {"id": third, "value": [1, 2]},
    )
    done = command(database_url, "import", "-", "--reviewer", "ann", text=labels)
    assert (done.exit_code, done.stdout) == (0, "")
    assert "3 items are resolved; 0 were so before" in done.stderr
    resolutions = [real.item(one).resolution for one in (first, second, third)]
    assert [(one.reviewer, one.label, one.value, one.agreed) for one in resolutions if one] == [
        ("ann", "3", None, True),
        ("bob", "4", None, False),
        ("ann", None, [1.0, 2.0], True),
    ]
    again = command(database_url, "import", "-", "--reviewer", "ann", text=labels)
    assert "0 items are resolved; 3 were so before" in again.stderr
    assert [real.item(one).resolution for one in (first, second, third)] == resolutions


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"id": "none", "label": "3"}, "line 2: there is no review none"),
        ({"id": "SECOND", "value": 1.0}, "line 2: model digits does classification: give a label"),
        ({"id": "SECOND", "label": "3", "by": "x"}, "line 2: Object contains unknown field `by`"),
        ({"id": "SECOND", "label": ""}, "line 2: Expected `str` of length >= 1"),
        ({"id": "SECOND", "label": "3\0"}, "line 2: it must not hold a null character"),
        ({"id": "FIRST", "label": "4"}, "stands on line 1 already"),
        ({"id": "CLAIMED", "label": "4"}, "is claimed by bob"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_imported(
    real: Store, database_url: str, bad: dict[str, Any], message: str
) -> None:
    names = dict(zip(("FIRST", "SECOND", "CLAIMED"), real.enter([row(0), row(1), row(2)]), strict=True))
    real.claim(names["CLAIMED"], "bob")
    labels = lines({"id": names["FIRST"], "label": "3"}, bad | {"id": names.get(bad["id"], bad["id"])})
    done = command(database_url, "import", "-", "--reviewer", "ann", text=labels)
    assert done.exit_code == 1
    assert "nothing was imported" in done.stderr
    assert message in done.stderr
    assert real.item(names["FIRST"]).resolution is None


def test_a_label_of_no_class_and_a_word_of_nobody_are_refused(
    real: Store, database_url: str, tmp_path: Path
) -> None:
    (identifier,) = real.enter([row()])
    models = model_of(["3", "4"], tmp_path)
    wrong = lines({"id": identifier, "label": "5"})
    asked = ("import", "-", "--repository", str(models))
    done = command(database_url, *asked, "--reviewer", "ann", text=wrong)
    assert "line 1: label must be one of 3, 4, and is '5'" in done.stderr
    assert "line 1: it names no reviewer" in command(database_url, *asked, text=wrong).stderr


def test_a_label_may_be_a_number_and_is_kept_by_the_models_name(
    real: Store, database_url: str, tmp_path: Path
) -> None:
    said = ["3", 3, 3.0, " 3 ", "03"]
    items = real.enter([row(number) for number in range(len(said) + 1)])
    models = model_of(["4", "True", "3"], tmp_path)
    labels = [{"id": item, "label": label} for item, label in zip(items, [*said, True], strict=True)]
    asked = ("import", "-", "--reviewer", "ann", "--repository", str(models))
    for counted in ("6 items are resolved; 0 were so before", "0 items are resolved; 6 were so before"):
        assert counted in command(database_url, *asked, text=lines(*labels)).stderr
    found = [real.item(item).resolution for item in items]
    assert [(one.label, one.agreed) for one in found if one] == [("3", True)] * 5 + [("True", False)]
    (index,) = real.enter([row(9)])
    refused = command(database_url, *asked, text=lines({"id": index, "label": 0}))
    assert "line 1: label must be one of 4, True, 3, and is '0'" in refused.stderr


@pytest.mark.parametrize("name", ["list", "export", "stats"])
def test_a_wrong_database_is_told_and_none_is_made(tmp_path: Path, name: str) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    done = command(url, name)
    assert done.exit_code == 1
    assert "there is no review queue at" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert "UNSURE_REVIEW_URL is off" in command("off", name).stderr
