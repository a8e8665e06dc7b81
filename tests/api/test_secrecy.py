"""What no answer tells: where files are, what the server ran into, and anything to pages of other sites."""

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from repositories import Repository
from servers import Serve
from starlette.testclient import TestClient

ROW = [0.5, -1.0, 2.0, 0.0, 1.5, -0.5]
LEAKS = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|(?<![\w.])/(?:tmp|secret|home|root|etc|usr|var|opt)/"
)


def _broken(repository: Repository, elsewhere: Path) -> list[str]:
    """Add a model for each way to be refused; gives their names."""
    weights = {
        name: repository.add(name) / "weights.safetensors" for name in ("missing", "pickled", "linked")
    }
    weights["missing"].unlink()
    weights["pickled"].write_bytes(pickle.dumps({}))
    weights["linked"].symlink_to(weights["linked"].rename(elsewhere / "weights"))
    record = repository.add("altered") / "weights.safetensors.sha256"
    record.write_text("0" * 64)
    (repository.path / "versionless").mkdir()
    manifest = repository.add("versionless").parent / "model.toml"
    (manifest.parent / "1" / "weights.safetensors").unlink()
    (manifest.parent / "1").rmdir()
    for name, factory in {
        "outside": "os:system",
        "absent": "networks:nowhere",
        "reading": "networks:reading_a_file",
    }.items():
        path = repository.add(name).parent / "model.toml"
        path.write_text(path.read_text().replace("networks:mlp", factory))
    repository.add("toml").parent.joinpath("model.toml").write_text("name = toml")
    return sorted(path.name for path in repository.path.iterdir())


def _answers(client: TestClient, name: str) -> list[Any]:
    version = f"/v2/models/{name}/versions/1"
    got = [
        client.get(path)
        for path in (
            f"/v1/models/{name}",
            f"/v1/models/{name}/dropout",
            f"/v2/models/{name}",
            f"{version}/ready",
        )
    ]
    asked = {"inputs": [ROW]}
    got += [client.post(f"/v1/models/{name}/{verb}", json=asked) for verb in ("predict", "uncertainty")]
    return [
        *got,
        client.post(f"{version}/infer", json=asked),
        client.post(f"/v2/repository/models/{name}/load"),
    ]


def test_no_answer_about_a_broken_model_holds_a_path(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    names = _broken(repository, tmp_path)
    client = serve()
    found = [answer for name in names for answer in _answers(client, name)]
    assert {answer.status_code for answer in found} == {400, 404, 503}
    assert sum(answer.status_code == 400 for answer in found) >= len(names)  # every load says why not
    for answer in [*found, client.post("/v2/repository/index"), client.get("/v1/models")]:
        assert str(tmp_path) not in answer.text
        assert not LEAKS.search(answer.text), answer.text


@pytest.mark.parametrize("path", ["/etc/passwd", "/v1/models/%2Fetc%2Fpasswd", "/v2/models/..%2f..%2fetc"])
def test_a_path_of_the_disk_is_no_path_of_the_api(serve: Serve, path: str) -> None:
    answer = serve().get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text


def test_a_page_of_another_site_is_allowed_nothing(repository: Repository, serve: Serve) -> None:
    """No browser hands it an answer, or lets it send what needs leave first, such as a key."""
    repository.add()
    client = serve()
    origin = {"Origin": "https://elsewhere.example"}
    asked = origin | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answers = [
        client.get("/v1/models", headers=origin),
        client.post("/v1/models/small/predict", json={"inputs": [ROW]}, headers=origin),
        client.options("/v1/models/small/predict", headers=asked),
        client.options("/v2/repository/models/small/unload", headers=asked),
    ]
    assert [answer.status_code for answer in answers] == [200, 403, 405, 405]
    told = {name for answer in answers for name in answer.headers if name.startswith("access-control")}
    assert told == set()
