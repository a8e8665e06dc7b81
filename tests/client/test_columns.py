"""Tables with names: sent in the order of the model's columns, or refused before anything is sent."""

import json
from typing import Any

import httpx
import narwhals
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from unsure_client import Batching, Client, InvalidInput, ModelChanged
from unsure_client.rows import Rows

NAMES = ("age", "mean radius", "bmi")
VALUES = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])


def sent(given: Any, columns: dict[str, tuple[str, ...]]) -> list[Any]:
    rows = Rows(given)
    rows.arrange(columns)
    return [[json.loads(text) for text in rows.encoded(number)] for number in range(rows.count)]


def frame(order: list[int], **renamed: str) -> pd.DataFrame:
    named = [renamed.get(NAMES[place], NAMES[place]) for place in order]
    return pd.DataFrame(VALUES[:, order], columns=named)


TABLES = {
    "pandas": lambda table: table,
    "pyarrow": pa.Table.from_pandas,
    "narwhals": narwhals.from_native,
    "structures": lambda table: table.to_records(index=False),
    "with integers": lambda table: table.astype({"age": "int64", "bmi": "bool"}).astype({"bmi": "float32"}),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
def test_columns_are_sent_in_the_models_order(kind: str, order: list[int]) -> None:
    table = TABLES[kind](frame(order))
    expected = VALUES.copy()
    if kind == "with integers":
        expected[:, 2] = 1
    assert sent(table, {"features": NAMES}) == [[row] for row in expected.tolist()]
    assert sent({"one": table, "two": [[1], [2], [3]]}, {"one": NAMES, "two": ()}) == [
        [row, [number]] for number, row in enumerate(expected.tolist(), 1)
    ]


def test_without_names_on_both_sides_columns_stand_by_place() -> None:
    turned = frame([2, 1, 0])
    for given, columns in (
        (turned, {"features": ()}),
        (turned.to_numpy(), {"features": NAMES}),
        (pd.DataFrame(turned.to_numpy()), {"features": NAMES}),
        (turned.to_numpy().tolist(), {"features": NAMES}),
    ):
        assert sent(given, columns) == [[row] for row in VALUES[:, ::-1].tolist()]


WRONG: list[tuple[pd.DataFrame, str]] = [
    (frame([0, 1]), "the table lacks 'bmi'. The model's columns are 'age', 'mean radius', 'bmi'"),
    (frame([0, 1, 2], age="Age"), "lacks 'age'; it has, unknown to the model, 'Age' (did you mean 'age'?)"),
    (frame([0, 1, 2]).assign(id=1), "the table has, unknown to the model, 'id'"),
    (frame([0, 1, 2, 1]), "the table has more than once 'mean radius'"),
    (frame([0, 1, 2]).rename(columns={"age": 0}), "lacks 'age'; it has, unknown to the model, 0"),
    (pd.DataFrame(VALUES, columns=[2, 1, 0]), "unknown to the model, 2, 1, 0"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "words"), WRONG, ids=[words for _, words in WRONG])
def test_other_columns_are_refused_by_name(table: pd.DataFrame, words: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        sent(table, {"features": NAMES})
    assert words in str(refusal.value)


class Server:
    """Answers as a server would, and counts what it is asked."""

    def __init__(self, *versions: str) -> None:
        self._versions = iter(versions)
        self.asked: list[str] = []
        self.rows: list[Any] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        version = next(self._versions, "2")
        if request.method == "GET":
            return httpx.Response(200, json=DESCRIPTION | {"version": version})
        rows = json.loads(request.content)["inputs"]
        self.rows += rows
        answer = {"model": "m", "version": version, "mode": "deterministic", "request_id": "r"}
        return httpx.Response(200, json=answer | {"predictions": [{"value": [sum(row)]} for row in rows]})


UNCERTIFIED = {"source": "configured", "certified": False}
DESCRIPTION = {
    "name": "m",
    "versions": ["1", "2"],
    "state": "ready",
    "task": "regression",
    "inputs": [{"name": "features", "dtype": "float32", "shape": [3], "columns": list(NAMES)}],
    "output": {"width": 1, "labels": []},
    "sampling": {"samples": 50, "max_samples": 100, "seed": 0},
    "policy": {"id": "p", "measure": "standard_deviation", "threshold": 1} | UNCERTIFIED,
}  # fmt: skip


def client(server: Server) -> Client:
    http = httpx.Client(transport=httpx.MockTransport(server))
    return Client("http://server", http=http, batching=Batching(rows=2))


def test_a_table_takes_one_look_at_the_model_a_call_and_an_array_none() -> None:
    server = Server()
    client(server).predict("m", frame([2, 0, 1]))
    assert server.asked == ["GET /v1/models/m", *["POST /v1/models/m/predict"] * 2]
    assert server.rows == VALUES.tolist()
    client(server).predict("m", VALUES)
    assert server.asked[3:] == ["POST /v1/models/m/predict"] * 2
    with pytest.raises(InvalidInput):
        client(server).predict("m", frame([2, 0]))
    assert server.asked[5:] == ["GET /v1/models/m"]


def test_a_model_that_was_loaded_anew_since_the_look_is_told() -> None:
    with pytest.raises(ModelChanged, match="the model's version was '1' when its columns were looked at"):
        client(Server("1", "2", "2")).predict("m", frame([2, 0, 1]))
    assert len(client(Server("2", "1", "1")).predict("m", frame([2, 0, 1]), version=1)) == 3
