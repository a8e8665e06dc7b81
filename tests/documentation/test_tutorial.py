"""docs/tutorial.md: its blocks run in order, as they stand, in a new folder, and print what it shows."""

import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from blocks import Block, Shell, blocks, shell
from concept_runs import measured, read, shifted, whole
from readme import ROOT
from selective_methods import TARGET
from shown import assert_alike, assert_text_alike, shown_json

pytestmark = pytest.mark.end_to_end

PAGE = blocks(ROOT / "docs" / "tutorial.md")
_SECONDS = 900  # of a machine that is busy with other things
_LANGUAGES = {"sh", "console", "python"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder, beside the repository as the page has it."""
    parent = tmp_path_factory.mktemp("tutorial")
    (parent / "unsure").symlink_to(ROOT)
    (parent / "mine").mkdir()
    return parent / "mine"


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[Shell]:
    """A shell without a network: pip finds what this environment has, and installs unsure itself."""
    if shutil.which("curl") is None:
        assert "CI" not in os.environ, "CI needs curl"
        pytest.skip("curl is not installed")
    inherited = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "TMPDIR")}
    environment = inherited | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say that it shall not isolate
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "OMP_NUM_THREADS": "1",
    }
    with shell(folder, environment, _SECONDS) as started:
        yield started


@pytest.fixture(scope="module")
def port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def test_the_page_has_nothing_but_blocks_that_run() -> None:
    assert {block.language for block in PAGE} == _LANGUAGES
    assert all(block.title for block in PAGE if block.language == "python")
    assert sum(block.language == "console" for block in PAGE) == 10


@pytest.mark.parametrize("block", PAGE, ids=lambda block: block.title or block.command.splitlines()[0][:40])
def test_a_block_does_what_the_page_says(block: Block, folder: Path, session: Shell, port: str) -> None:
    if block.title:
        (folder / block.title).write_text(block.text)
        return
    printed = session.run(_listening(block.command, port))
    if "-m venv" in block.command:
        _lend_packages(folder / ".venv")
    if block.output.startswith("{"):
        assert_alike(shown_json(printed), shown_json(block.output))
    elif block.language == "console":
        assert_text_alike(printed, block.output)


def test_the_files_that_the_page_names_are_there(folder: Path) -> None:
    for name in ("model_repository/my-digits/1/calibration.html", "reviews.db", "server.log"):
        assert (folder / name).stat().st_size > 0
    assert '"8"' in (folder / "labels.jsonl").read_text()


def test_the_concepts_are_those_of_this_network(folder: Path) -> None:
    """What docs/concepts.md says about the promise, as rows are turned, and about the mean of samples."""
    model = read(folder)
    found = shifted(model)
    assert found.wrong[0] <= TARGET < 0.05 < found.wrong[1]
    assert found.flagged[0] < 0.1 < found.flagged[1]
    assert found.wrong[-1] > 0.5
    assert found.flagged[-1] < 0.1
    predicted, sampled = whole(model, model.images), measured(model, model.images)
    assert sampled.confidence.mean() < predicted.max(1).mean() - 0.01


def _listening(command: str, port: str) -> str:
    return command.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace(
        "unsure serve", f"unsure serve --port {port}"
    )


def _lend_packages(environment: Path) -> None:
    """Let a new environment find the packages of this one, which pip would fetch; but not unsure itself."""
    (packages,) = environment.glob("lib/python*/site-packages")
    for older in packages.glob("setuptools*"):  # which torch asks pip to replace
        shutil.rmtree(older)
    (packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"])
