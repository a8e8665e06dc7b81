"""Settings as the arguments of an application, and the file that is deployed."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from service.errors import StartError
from service.ray_serve.application import FRONT, unsure
from service.ray_serve.arguments import ARGUMENTS, settings_of

DEPLOYED = Path(__file__).parents[2] / "deploy" / "ray" / "serve.yaml"
ENOUGH: dict[str, Any] = {"without_keys": True, "review_url": "off"}


def test_arguments_are_settings_and_what_is_left_out_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UNSURE_REVIEW_URL", "postgresql+psycopg://queue/reviews")
    settings = settings_of({"max_pending_rows": 7, "batch_seconds": 0.5, "without_keys": True})
    assert (settings.max_pending_rows, settings.batch_seconds) == (7, 0.5)
    assert settings.review_url == "postgresql+psycopg://queue/reviews"
    assert settings.repository.is_absolute()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"workers": 2}, "--workers"),
        ({"max_pending_rows": 0}, "--max-pending-rows"),
        ({"without_keys": False}, "everybody who reaches Ray's proxies could load and unload models"),
        ({"review_url": "sqlite:///reviews.db"}, "sqlite:///reviews.db is a file of one machine"),
        ({"review_url": "sqlite+pysqlite:///reviews.db"}, "name a PostgreSQL"),
    ],
)
def test_what_cannot_be_on_several_machines_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(StartError) as refused:
        settings_of(ENOUGH | changes)
    assert named in str(refused.value)


def test_null_is_what_is_left_out_and_a_list_what_has_commas() -> None:
    settings = settings_of(ENOUGH | {"api_keys_file": None, "factories": ["models.zoo", "networks"]})
    assert (settings.api_keys_file, settings.allowed_factories) == (None, ("models.zoo", "networks"))


@pytest.mark.parametrize("models", ["digits", [], ""])
def test_models_are_a_list_with_something_in_it(tmp_path: Path, models: Any) -> None:
    with pytest.raises(StartError, match="models must be a list of names, and is"):
        unsure(ENOUGH | {"repository": str(tmp_path), "models": models})


def test_keys_that_are_wrong_are_told_before_anything_is_deployed(tmp_path: Path) -> None:
    keys = {"repository": str(tmp_path), "api_keys_file": str(tmp_path / "keys.toml")}
    with pytest.raises(StartError, match=r"keys\.toml cannot be read"):
        unsure(ENOUGH | keys | {"without_keys": False})
    with pytest.raises(StartError, match="contradict each other"):
        unsure(ENOUGH | keys)


def test_models_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="has no folder digits; it has: none"):
        unsure(ENOUGH | {"repository": str(tmp_path), "models": ["digits"]})
    with pytest.raises(StartError, match="is not a folder"):
        unsure(ENOUGH | {"repository": str(tmp_path / "none")})


def test_the_file_that_is_deployed_is_one_that_ray_takes() -> None:
    read = yaml.safe_load(DEPLOYED.read_text("utf-8"))
    (application,) = ServeDeploySchema.model_validate(read).applications
    module, _, name = application.import_path.partition(":")
    assert (module, name) == (unsure.__module__, unsure.__name__)
    assert set(application.args) <= {*ARGUMENTS, "models"}
    assert {one.name for one in application.deployments} == {FRONT, *application.args["models"]}
    # A key that the schema does not know would be passed over.
    for one, known in zip(read["applications"][0]["deployments"], application.deployments, strict=True):
        assert one.keys() <= type(known).model_fields.keys()
        scaling = one.get("autoscaling_config", {})
        assert scaling.keys() <= {
            "min_replicas",
            "max_replicas",
            "upscale_delay_s",
            "downscale_delay_s",
            "policy",
        }
