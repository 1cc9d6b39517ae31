"""One tree, seen the same from a checkout, a wheel and a type checker (docs/decisions/0001-packaging.md)."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import scitq

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("domain", "handlers", "projections", "store", "bus", "agents", "cloud", "fetch", "web")
NOT_SHIPPED = {".md", ".pyc"}

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS: dict[str, Any] = PROJECT["tool"]["setuptools"]


def shipped_files() -> set[str]:
    """Every file that an installation must hold, named as in the wheel."""
    found = set()
    for folder, installed in [("scitq", "scitq"), *((name, f"scitq/{name}") for name in FOLDERS)]:
        for path, folders, names in os.walk(ROOT / folder):
            folders[:] = [name for name in folders if name != "__pycache__" and not (Path(path) / name).is_symlink()]
            inside = Path(installed) / Path(path).relative_to(ROOT / folder)
            found |= {str(inside / name) for name in names if Path(name).suffix not in NOT_SHIPPED}
    return found


def loaded_by_path() -> set[str]:
    """The migrations: Alembic runs them as files; they are shipped as data of the package above them."""
    return {name for name in shipped_files() if re.match("scitq/store/migrations/(?!__init__.py)", name)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without a network and unpacked."""
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    for name in ("scitq", *FOLDERS):
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "-w", str(out), str(tree)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(out / "unpacked")
    return out / "unpacked"


def test_each_folder_is_linked_into_the_package() -> None:
    links = {path.name: os.readlink(path) for path in (ROOT / "scitq").iterdir() if path.is_symlink()}
    assert links == {name: f"../{name}" for name in FOLDERS}


def test_the_package_list_equals_the_tree() -> None:
    inits = {name for name in shipped_files() if name.endswith("/__init__.py") and name not in loaded_by_path()}
    in_tree = {str(Path(name).parent).replace("/", ".") for name in inits}
    assert set(SETUPTOOLS["packages"]) == in_tree
    assert SETUPTOOLS["package-dir"] == {"scitq": "scitq"} | {f"scitq.{name}": name for name in FOLDERS}


def test_each_folder_with_python_files_is_a_package() -> None:
    with_python = {str(Path(name).parent) for name in shipped_files() - loaded_by_path() if name.endswith(".py")}
    with_python |= {str(path.parent.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    missing = {name for name in with_python if not (ROOT / name / "__init__.py").exists()}
    assert not missing


def test_the_wheel_holds_every_file_of_ours_and_nothing_else(wheel: Path) -> None:
    inside = {str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file()}
    ours = {name for name in inside if ".dist-info/" not in name}
    expected = shipped_files()
    assert "scitq/py.typed" in expected
    assert ours == expected, "missing: add it to packages or package-data in pyproject.toml"


def test_every_module_of_the_wheel_imports_under_its_full_name_only(wheel: Path, tmp_path: Path) -> None:
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in sorted(shipped_files() - loaded_by_path())
        if name.endswith(".py") and not name.endswith("__main__.py")
    ]
    program = f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
strangers = sorted(set({FOLDERS!r}) & set(sys.modules))
assert not strangers, f"imported without 'scitq.': {{strangers}}"
assert sys.modules["scitq.domain"].__file__.startswith({str(wheel)!r}), sys.modules["scitq.domain"].__file__
"""
    environment = os.environ | {"PYTHONPATH": str(wheel), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_same_everywhere(wheel: Path) -> None:
    version = PROJECT["project"]["version"]
    assert scitq.__version__ == version
    assert (wheel / f"scitq-{version}.dist-info").is_dir()


def test_both_lock_files_agree_and_name_no_place() -> None:
    pins = {}
    for name in ("requirements-extras.lock", "requirements.lock"):
        lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.lstrip().startswith("#")]
        assert all("==" in line and "://" not in line and " @ " not in line for line in lines), name
        pins[name] = set(lines)
    assert pins["requirements.lock"] <= pins["requirements-extras.lock"]
