#!/usr/bin/env bash
# Makes the virtual environment $1 with scitq and everything its checks need. PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/services/apt.sh

venv=$1

python=""
for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "scitq needs Python 3.11 or newer: install python3.11 (or name one: make PYTHON=/path/to/python3 …)." >&2
    exit 1
fi

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info.minor)')
        if ! can_apt; then
            echo "$python cannot make virtual environments: install the package $package (as root: apt-get install $package)." >&2
            exit 1
        fi
        apt_install "$package"
    fi
    quietly "$python" -m venv --clear "$venv"
fi

# The build tools first, so that pip fetches none of its own and the lock holds for them too.
pip() { quietly "$venv/bin/python" -m pip install --disable-pip-version-check -c requirements.lock "$@"; }
pip setuptools wheel
pip --no-build-isolation -e '.[dev]'
