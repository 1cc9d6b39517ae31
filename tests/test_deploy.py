"""What it is run with: units, images, compose and a file of settings, held against the code and each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from scitq.bootstrap.roles import ROLES
from scitq.config import load
from scitq.config.settings import NAMES
from scitq.config.template import template
from tests.conftest import miss

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
UNITS = DEPLOY / "systemd"
IMAGES = sorted((DEPLOY / "docker").glob("Dockerfile.*"))
VARIABLE = re.compile(r"\$\{([A-Z_]+)")


# The file of settings -----------------------------------------------------------------------------------------------


def test_the_file_of_settings_is_the_printed_one() -> None:
    shown = (DEPLOY / "scitq.conf.example").read_text()
    assert shown == template(), "scitq config template > deploy/scitq.conf.example"
    assert re.findall(r"^#([A-Z_]+)=", shown, re.M) == list(NAMES)


def test_the_file_of_settings_sets_nothing_and_its_values_are_the_defaults(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    default = load(environ=environ, files=[])
    as_it_is, uncommented = tmp_path / "as-it-is", tmp_path / "uncommented"
    as_it_is.write_text(template())
    uncommented.write_text(re.sub(r"^#([A-Z_]+=)", r"\1", template(), flags=re.M))
    assert load(environ=environ, files=[as_it_is]) == default
    found = load(environ=environ, files=[uncommented])
    assert found.shown() == default.shown()
    assert "default" not in {found.sources[name] for name, one in NAMES.items() if isinstance(one.default, str | None)
                             and one.default}  # fmt: skip


# Units of systemd ---------------------------------------------------------------------------------------------------


def settings_of(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_systemd_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        miss("systemd-analyze is not installed")
    for unit in UNITS.iterdir():
        text = re.sub(r"/opt/scitq/bin/\S+", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_each_role_has_a_unit_that_differs_from_the_others_in_its_role_only() -> None:
    whole = settings_of("scitq-server.service")
    for role in ROLES:
        unit = settings_of(f"scitq-{role}.service")
        assert unit["ExecStart"] == [f"/opt/scitq/bin/scitq-server --role {role}"]
        assert unit["WantedBy"] == ["scitq.target"]
        differing = {key for key in unit | whole if unit.get(key) != whole.get(key)}
        assert differing == {"Description", "ExecStart", "WantedBy"}
    assert whole["ExecStart"] == ["/opt/scitq/bin/scitq-server"]
    assert {path.name for path in UNITS.iterdir()} == {
        *(f"scitq-{role}.service" for role in ROLES), "scitq-server.service", "scitq-worker.service", "scitq.target"
    }  # fmt: skip


def test_no_task_ends_or_lacks_a_right_because_of_the_worker_s_unit() -> None:
    unit = settings_of("scitq-worker.service")
    assert unit["KillMode"] == ["process"]
    assert unit["OOMPolicy"] == ["continue"]
    implying_no_new_privileges = ("NoNew", "Private", "Protect", "Restrict", "SystemCall", "Lock", "Memory", "Dynamic")
    assert not [key for key in unit if key.startswith(implying_no_new_privileges)]


# Images and compose -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return found


def test_every_service_is_looked_after(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"rabbitmq", "postgres", "server", "worker"}
    for name, service in services.items():
        assert service["healthcheck"]["test"][0] == "CMD", name
        assert service["restart"] == "unless-stopped", name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "stop_grace_period" in service, name
        assert not service.get("privileged"), name
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source.startswith("${") or source in compose["volumes"], f"{name}: {volume}"
    for name in ("rabbitmq", "postgres"):
        assert services[name]["networks"] == ["inside"], f"{name} is reached by the server only"
    assert compose["networks"]["inside"] == {"internal": True}
    assert [name for name, service in services.items() if "ports" in service] == ["server"]
    assert services["server"]["ports"][0].startswith("${SCITQ_PUBLISH:-127.0.0.1}:")


def test_nobody_is_root_in_a_container(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if "build" not in service:
            assert service["user"] == name
    for image in IMAGES:
        last = image.read_text().rpartition("\nFROM ")[2]
        users = re.findall(r"^USER (\w+)", last, re.M)
        assert users == ["scitq"], image.name


def test_secrets_are_in_no_file_and_every_variable_is_explained(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = (ROOT / ".env.example").read_text()
    assert set(VARIABLE.findall(text)) == set(re.findall(r"^#?([A-Z_]+)=", example, re.M))
    assert re.findall(r"^([A-Z_]+)=(.*)$", example, re.M) == [
        ("SCITQ_TOKEN", ""), ("POSTGRES_PASSWORD", ""), ("RABBITMQ_PASSWORD", "")
    ]  # fmt: skip
    for secret in ("SCITQ_TOKEN", "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"):
        assert f"${{{secret}:?" in text, f"without {secret} nothing starts"
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ".env" in ignored
    for name in ("server", "worker"):
        unknown = compose["services"][name]["environment"].keys() - NAMES.keys()
        assert not unknown, f"{name} is given what is no setting: {unknown}"


def test_what_the_images_copy_is_there_and_gets_to_the_builder() -> None:
    passed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in passed)
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} - {"tests", "bench"} <= passed
    assert len(IMAGES) == 2
    for image in IMAGES:
        copied = set(re.findall(r"^COPY (?!--)(\S+)", image.read_text(), re.M)) - {"."}
        assert copied <= passed


def test_compose_itself_takes_the_file(tmp_path: Path) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        pytest.skip("docker compose is not installed; the other tests here look at the file themselves")
    secrets = tmp_path / "env"
    secrets.write_text("SCITQ_TOKEN=0123456789abcdef\nPOSTGRES_PASSWORD=a\nRABBITMQ_PASSWORD=b\n")
    command = ["docker", "compose", "--env-file", str(secrets), "-f", str(ROOT / "docker-compose.yml"), "config"]
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["services"]) == {"rabbitmq", "postgres", "server", "worker"}


# The old habit ------------------------------------------------------------------------------------------------------

LOADED = "import sys, scitq.server; print(sorted({name.partition('.')[0] for name in sys.modules}))"


def test_importing_the_server_module_starts_and_loads_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)
    assert "sqlalchemy" not in done.stdout and "starlette" not in done.stdout and "pika" not in done.stdout


def asked_by(*modules: str) -> list[str]:
    """What happens when a WSGI server, of which these modules are loaded, looks for its application."""
    pretended = "; ".join(f"sys.modules[{name!r}] = sys" for name in modules)
    return [sys.executable, "-c", f"import sys; {pretended}; import scitq.server; scitq.server.app"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([sys.executable, "-m", "scitq.server"], "not a WSGI application"),
        (asked_by("flask"), "not a WSGI application"),
        (asked_by("gunicorn"), "not a WSGI application"),
        (asked_by("gunicorn", "uvicorn_worker"), "roles need a broker"),
        ([sys.executable, "-m", "uvicorn", "scitq.server:app", "--port", "0"], "roles need a broker"),
    ],
)
def test_who_starts_it_as_before_is_told_in_one_sentence_how_it_is_done(
    command: list[str], words: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 3
    assert words in done.stderr and len(done.stderr.splitlines()) == 1
