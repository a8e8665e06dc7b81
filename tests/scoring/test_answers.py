"""`unsure score` says of a file's rows what the server answers of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import taggers
import texts
from alike import IN_PASSING, assert_alike
from answers import sampled
from click.testing import CliRunner
from repositories import Repository
from scored import FEATURES, SAMPLING, columns, inputs, scored, write_parquet
from servers import Serve

from service.cli import main
from service.predictor.execution import Execution
from service.predictor.served_model import prepare
from service.predictor.together import Draw
from service.repository.folder import ModelFolder
from service.uncertainty.sequential import Rounds

ROWS = 300  # more than run together
REGRESSION: dict[str, Any] = {
    "factory": "linear",
    "task": "regression",
    "output": {},
    "policy": {"measure": "standard_deviation", "threshold": 0.4},
    "sampling": SAMPLING,
}


def asked(serve: Serve, rows: Any, model: str = "small", **more: Any) -> dict[str, Any]:
    answer = serve(factories="networks,texts").post(
        f"/v1/models/{model}/uncertainty", json={"inputs": rows} | more
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def as_answers(table: Any) -> list[dict[str, Any]]:
    """Rows of an output as the server has them, but for what is of the whole answer."""
    rows: list[dict[str, Any]] = table.drop_columns(["row", "certified"]).to_pylist()
    for row in rows:
        if "interval_lower" in row:
            row["interval"] = {"lower": row.pop("interval_lower"), "upper": row.pop("interval_upper")}
    return rows


def as_table(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in results:
        row.pop("review_id")
        for kept, names in (("prediction_set", {"level", "method"}), ("interval", {"level", "method"})):
            if kept in row:
                row[kept] = {name: value for name, value in row[kept].items() if name not in names}
        if "prediction_set" in row:
            row["prediction_set"] = row["prediction_set"]["labels"]
    return results


def test_a_classifiers_answers_are_the_servers(repository: Repository, serve: Serve, tmp_path: Path) -> None:
    repository.add(sampling=SAMPLING, policy={"measure": "predictive_entropy", "threshold": 1.05})
    values = inputs(ROWS)
    table = scored(repository, write_parquet(tmp_path / "rows.parquet", columns(values)))
    answer = asked(serve, values.tolist())
    assert table.column("row").to_pylist() == list(range(ROWS))
    assert set(table.column("certified").to_pylist()) == {False}
    assert {True, False} == set(table.column("low_confidence").to_pylist())
    assert_alike(as_answers(table), as_table(answer["results"]))


@pytest.mark.parametrize(
    ("options", "question"),
    [
        ((), {}),
        (("--samples", "exact"), {"samples": "exact"}),
        (("--samples", "12", "--seed", "9"), {"samples": 12, "seed": 9}),
        (("--samples", "4..40", "--threshold", "0.3"), {"samples": {"min": 4, "max": 40}, "threshold": 0.3}),
    ],
)
def test_values_are_the_servers_however_samples_are_asked_for(
    repository: Repository, serve: Serve, tmp_path: Path, options: tuple[str, ...], question: Any
) -> None:
    repository.add(**REGRESSION)
    values = inputs(40)
    np.savez(tmp_path / "rows.npz", inputs=values)
    table = scored(repository, tmp_path / "rows.npz", *options)
    assert_alike(as_answers(table), as_table(asked(serve, values.tolist(), **question)["results"]))


def test_a_calibration_decides_and_ends_where_a_run_leaves_it(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    repository.add(sampling=SAMPLING)
    values = inputs(ROWS)
    np.savez(tmp_path / "heldout.npz", inputs=values, targets=np.arange(ROWS) % 3)
    where = ["--repository", str(repository.path), "--factories", "networks", "--plan", "vmap"]
    told = CliRunner().invoke(
        main,
        ["calibrate", "small", "--data", str(tmp_path / "heldout.npz"), "--target-error", "0.9", *where],
    )
    assert told.exit_code == 0, told.output
    source = write_parquet(tmp_path / "rows.parquet", columns(values[:30]))
    table = scored(repository, source)
    answer = asked(serve, values[:30].tolist())
    assert answer["policy"]["certified"]
    assert set(table.column("certified").to_pylist()) == {True}
    assert "prediction_set" in table.column_names
    assert_alike(as_answers(table), as_table(answer["results"]))
    source.with_name("rows.parquet.out.parquet").unlink()
    table = scored(repository, source, "--samples", "11")
    assert set(table.column("certified").to_pylist()) == {False}
    assert "prediction_set" not in table.column_names


def test_texts_are_scored_as_the_server_does(repository: Repository, serve: Serve, tmp_path: Path) -> None:
    texts.add(repository, sampling=SAMPLING)
    rows = ["a good film", "bad", "not very good", "NOT bad films"] * 10
    lines = [json.dumps({"text": text, "id": number}) for number, text in enumerate(rows)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    table = scored(repository, tmp_path / "rows.jsonl", model="films")
    assert table.column("id").to_pylist() == [str(number) for number in range(len(rows))]
    answer = asked(serve, rows, "films")
    assert_alike(as_answers(table.drop_columns(["id"])), as_table(answer["results"]))


def test_tokens_are_in_the_column_of_their_text(repository: Repository, serve: Serve, tmp_path: Path) -> None:
    taggers.add(repository)
    given = ["a good film", "bad", "not bad films", "very bad"] * 3
    table = scored(repository, write_parquet(tmp_path / "rows.parquet", {"text": given}), model="tags")
    for row, expected in zip(table.to_pylist(), asked(serve, given, "tags")["results"], strict=True):
        assert row["score"] == pytest.approx(expected["score"], abs=1e-6)
        assert row["low_confidence"] == expected["low_confidence"]
        assert [one["code"] for one in row["reasons"]] == [one["code"] for one in expected["reasons"]]
        for token, told in zip(row["tokens"], expected["tokens"], strict=True):
            assert set(token) == set(told)
            assert (token["text"], token["label"]) == (told["text"], told["label"])
            assert token["mean"] == pytest.approx(told["mean"], abs=1e-6)


def test_a_row_has_the_very_numbers_of_the_predictors_own_batch(
    repository: Repository, tmp_path: Path
) -> None:
    repository.add(sampling=SAMPLING)
    values = inputs(ROWS)
    table = scored(repository, write_parquet(tmp_path / "rows.parquet", columns(values)))
    folder = ModelFolder(repository.path / "small")
    model = prepare(folder.read(folder.manifest(), 1, ("networks",)), Execution(plan="vmap"))
    for start, end in ((0, 256), (256, ROWS)):
        rows = model.inputs.read(json.dumps(values[start:end].tolist()).encode())
        expected = sampled(model, rows, SAMPLING["seed"], Draw(Rounds(10, 10), 0.9))
        assert table.column("score").to_pylist()[start:end] == expected.scores.tolist()
        assert table.column("mean").to_pylist()[start:end] == expected.measures.mean.tolist()


def test_a_row_does_not_depend_on_the_rows_beside_it(repository: Repository, tmp_path: Path) -> None:
    repository.add(sampling=SAMPLING)
    values = inputs(ROWS)
    whole = as_answers(scored(repository, write_parquet(tmp_path / "rows.parquet", columns(values))))
    for start, end in ((0, 1), (255, 258), (37, 290)):
        part = write_parquet(tmp_path / f"rows-{start}.parquet", columns(values[start:end]))
        assert_alike(as_answers(scored(repository, part)), whole[start:end], ignored=IN_PASSING)


def test_the_features_are_all_columns_but_those_that_are_kept(repository: Repository, tmp_path: Path) -> None:
    repository.add(sampling=SAMPLING)
    values = inputs(20)
    plain = scored(repository, write_parquet(tmp_path / "plain.parquet", columns(values)))
    labelled = columns(values, id=[f"r{row}" for row in range(20)], label=list(range(20)))
    table = scored(
        repository, write_parquet(tmp_path / "rows.parquet", labelled), "--keep", "id", "--keep", "label"
    )
    assert table.column_names[:4] == ["row", "id", "input_label", "label"]
    assert table.column("input_label").to_pylist() == list(range(20))
    assert table.drop_columns(["id", "input_label"]).equals(plain)


def test_columns_that_model_toml_names_are_found_in_any_order(repository: Repository, tmp_path: Path) -> None:
    names = [f"f{place}" for place in range(FEATURES)]
    repository.add(sampling=SAMPLING, columns={"features": names})
    values = inputs(20)
    plain = scored(repository, write_parquet(tmp_path / "plain.parquet", columns(values)))
    turned = {"b": ["x"] * 20, **dict(reversed(columns(values).items()))}
    table = scored(repository, write_parquet(tmp_path / "rows.parquet", turned))
    assert table.drop_columns(["b"]).equals(plain)
