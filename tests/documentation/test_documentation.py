"""Documentation is held to the program: what exists is documented, what is documented exists."""

import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import write_reference
from click.testing import CliRunner
from readme import ROOT

from service.cli import main
from service.repository.manifest_file import read_manifest
from service.settings import settings_table

PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("name", sorted(write_reference.PAGES))
def test_the_reference_is_what_the_program_says(name: str) -> None:
    written = (ROOT / "docs" / "reference" / name).read_text("utf-8")
    assert written == write_reference.PAGES[name](), "run `make reference`"


def test_no_page_of_the_reference_is_left_over() -> None:
    assert {path.name for path in (ROOT / "docs" / "reference").iterdir()} == set(write_reference.PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"UNSURE_[A-Z_]*[A-Z]", page.read_text("utf-8")))
    assert named <= {setting.variable for setting in settings_table()}


def test_the_manifests_of_the_documentation_are_good(tmp_path: Path) -> None:
    page = (ROOT / "docs/model-repository.md").read_text("utf-8")
    labels = {"tumours": ("malignant", "benign"), "reports": ("routine", "urgent")}
    tomls = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    for toml, (name, expected) in zip(tomls, labels.items(), strict=True):
        path = tmp_path / name / "model.toml"
        path.parent.mkdir()
        path.write_text(toml)
        assert read_manifest(path).output.labels == expected


def test_the_manifest_of_a_hugging_face_folder_is_good(tmp_path: Path) -> None:
    (toml,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs/huggingface.md").read_text("utf-8"), re.DOTALL)
    path = tmp_path / "reviews" / "model.toml"
    path.parent.mkdir()
    path.write_text(toml)
    assert read_manifest(path).output.labels == ("poor", "fair", "good")


def test_make_lists_every_command_that_the_readme_names() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^make ([a-z-]+)", listed, re.MULTILINE))
    assert {"serve", "test", "check", "format", "reference", "bench-engine", "bench-adaptive"} <= commands
    named = set(re.findall(r"`(?:UNSURE_PORT=\d+ )?make ([a-z-]+)`", (ROOT / "README.md").read_text("utf-8")))
    assert named <= commands


def test_the_readmes_map_is_of_this_repository() -> None:
    table = (ROOT / "README.md").read_text("utf-8").split("## Map")[1].split("##")[0]
    for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE):
        for path in re.findall(r"`([^`]+)`", row):
            assert (ROOT / path).exists(), path


def test_the_engines_page_lists_its_files() -> None:
    folder = ROOT / "service" / "sampling"
    listed = set(re.findall(r"^\| `(\w+\.py)` \|", (folder / "README.md").read_text("utf-8"), re.MULTILINE))
    assert listed == {path.name for path in folder.glob("*.py")} - {"__init__.py"}


def test_the_architecture_lists_the_rooms() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rooms = {path.stem for path in (ROOT / "service").iterdir() if not path.stem.startswith("_")}
    assert rooms <= set(re.findall(r"^  (\w+) ", page, re.MULTILINE))


def test_every_command_helps_with_an_example() -> None:
    names = {*main.commands, *(found.name for found in entry_points(group="unsure.commands"))}
    commands = {"serve", "train", "add", "inspect", "calibrate", "score", "bench", "reviews", "keys"}
    assert names == commands
    for name in names:
        helped = CliRunner().invoke(main, [name, "--help"])
        assert helped.exit_code == 0
        assert f"Example: unsure {name}" in helped.output
        assert "=None" not in helped.output, "an option has a range without ends"


def test_the_page_on_training_names_its_options() -> None:
    command = next(iter(entry_points(group="unsure.commands", name="train"))).load()
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    page = (ROOT / "docs" / "training.md").read_text("utf-8")
    assert set(re.findall(r"(--[a-z][a-z-]*)", page)) == options


def test_the_page_on_training_names_the_families() -> None:
    command = next(iter(entry_points(group="unsure.commands", name="train"))).load()
    (families,) = (parameter.type.choices for parameter in command.params if parameter.name == "family")
    table = (ROOT / "docs" / "training.md").read_text("utf-8").split("| `--model` |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.M)))) == set(families)


def test_the_page_on_whole_files_names_options_that_there_are() -> None:
    options = {option for parameter in main.commands["score"].params for option in parameter.opts}
    settings = {setting.option for setting in settings_table()}
    page = (ROOT / "docs" / "scoring.md").read_text("utf-8")
    assert set(re.findall(r"(--[a-z][a-z-]*)", page)) == options - settings - {"--version", "model"}


def test_options_are_the_settings() -> None:
    helped = CliRunner().invoke(main, ["serve", "--help"], terminal_width=200).output
    for setting in settings_table():
        assert setting.option in helped
        assert f"env var: {setting.variable}" in helped
