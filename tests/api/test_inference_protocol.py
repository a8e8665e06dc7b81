"""The Open Inference Protocol face: health and metadata."""

from protocol import OUTPUTS
from repositories import Repository
from servers import Serve


def test_the_server_describes_itself(repository: Repository, serve: Serve) -> None:
    client = serve()
    answer = client.get("/v2").json()
    assert answer["name"] == "unsure"
    assert answer["extensions"] == ["binary_tensor_data", "model_repository"]
    assert client.get("/v2/health/live").json() == {"live": True, "ready": True}
    assert client.get("/v2/health/ready").json() == {"live": True, "ready": True}


def test_a_classifier_is_described(repository: Repository, serve: Serve) -> None:
    repository.add(version=4)
    client = serve()
    for path in ("/v2/models/small", "/v2/models/small/versions/4"):
        metadata = client.get(path).json()
        assert (metadata["name"], metadata["versions"]) == ("small", ["4"])
        assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 6]}]
        assert [(one["name"], one["datatype"], one["shape"]) for one in metadata["outputs"]] == OUTPUTS
        assert client.get(f"{path}/ready").json() == {"name": "small", "ready": True}


def test_a_model_without_dropout_has_one_output(repository: Repository, serve: Serve) -> None:
    repository.add(factory="plain", output={"labels": ["a", "b", "c"]})
    metadata = serve().get("/v2/models/small").json()
    assert [tensor["name"] for tensor in metadata["outputs"]] == ["output"]
