"""The client as it is installed: built, put in a folder of its own, and run by another Python."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from readme import ROOT
from repositories import Repository
from servers import listening, wait_until_ready

from service.app import build
from service.settings import Settings

FOLDER = ROOT / "clients" / "python"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text("utf-8"))["project"]
BLOCKS = re.findall(r"```python\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)
TUMOURS = {
    "input": [{"name": "features", "dtype": "float32", "shape": [30]}],
    "output": {"labels": ["malignant", "benign"]},
    "policy": {"measure": "predictive_entropy", "threshold": 0.3},
    "source": {
        "kind": "factory",
        "factory": "networks:linear",
        "arguments": {"features": 30, "outputs": 2},
    },
}
WITHOUT_PANDAS = """
import sys
sys.modules["pandas"] = None
import unsure_client
client = unsure_client.Client("http://127.0.0.1:8000")
answer = client.predict("breast-cancer", [[1.0] * 30])
try:
    answer.to_pandas()
except ImportError as error:
    print(len(answer), error)
"""


def run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = ("-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
    run(*pip, "wheel", "--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, FOLDER)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The folder that the wheel was installed into."""
    folder = wheel.parent / "installed"
    pip = ("-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
    run(*pip, "install", "--no-index", "--no-deps", "--target", folder, wheel)
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    repository = Repository(tmp_path_factory.mktemp("tumours") / "repository")
    repository.add("breast-cancer", factory="linear", **TUMOURS)
    settings = Settings(repository=repository.path, factories="networks", plan="vmap", deadline_seconds=120)
    with listening(build(settings)) as address, httpx.Client(base_url=f"http://{address}") as http:
        wait_until_ready(http)
        yield address


def run_installed(installed: Path, address: str, script: str) -> str:
    """Run a script where the client is what was installed, and not what lies in this repository."""
    folder = installed.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    path = folder / "script.py"
    told = "\nimport unsure_client; print(unsure_client.__file__)\n"
    path.write_text(script.replace("127.0.0.1:8000", address) + told, "utf-8")
    printed, _, file = run("-W", "error", path, PYTHONPATH=str(installed)).rstrip().rpartition("\n")
    assert Path(file) == installed / "unsure_client" / "__init__.py"
    return printed


def test_the_wheel_holds_the_client_its_types_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
        (metadata,) = (name for name in opened.namelist() if name.endswith("/METADATA"))
        told = opened.read(metadata).decode()
    source = FOLDER / "unsure_client"
    assert held == {f"unsure_client/{path.name}" for path in [*source.glob("*.py"), source / "py.typed"]}
    assert re.findall(r"^Requires-Dist: ([^;\n]+)$", told, re.MULTILINE) == PROJECT["dependencies"]
    assert "License-Expression: Apache-2.0" in told


def test_the_readme_runs_as_it_is_written(installed: Path, address: str) -> None:
    printed = run_installed(installed, address, "\n".join(BLOCKS))
    for shown in (r"\(569, 2\)", r"\d+ rows for a person", "569 rows", r"'night-7\.0', 'night-7\.100'"):
        assert re.search(shown, printed), printed
    assert "row 0 has [2] 400 invalid_input" in printed
    assert "['breast-cancer']\n('malignant', 'benign')\n0 dropout 0.3" in printed


def test_without_pandas_all_else_works(installed: Path, address: str) -> None:
    printed = run_installed(installed, address, WITHOUT_PANDAS)
    assert printed == "1 to_pandas() needs pandas: pip install 'unsure-client[pandas]'"


def test_dependencies_are_what_the_client_imports() -> None:
    found: set[str] = set()
    for path in (FOLDER / "unsure_client").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    needed = {name.split(">=")[0] for name in PROJECT["dependencies"]}
    assert found - set(sys.stdlib_module_names) - {"unsure_client"} == needed | {"pandas"}
    assert needed == {"httpx", "numpy"}


def test_the_license_is_the_servers() -> None:
    assert (FOLDER / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
