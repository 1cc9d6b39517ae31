#!/usr/bin/env bash
# Writes requirements.lock (what the tests run with) and requirements-extras.lock (the same and every extra).
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/services/apt.sh

tool=$(mktemp -d)
trap 'rm -rf "$tool"' EXIT
quietly "${PYTHON:-python3}" -m venv "$tool"
quietly "$tool/bin/python" -m pip install --disable-pip-version-check uv

export UV_CUSTOM_COMPILE_COMMAND="make lock"
compile() { "$tool/bin/uv" pip compile --quiet --system-certs --python-version 3.11 pyproject.toml "$@"; }
compile --extra server --extra dev -o requirements.lock "$@"
compile --all-extras -c requirements.lock -o requirements-extras.lock "$@"
