#!/usr/bin/env bash
# Installs the real services that the tests start themselves. Says nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/services/apt.sh

have_postgres() {
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null
}

# Debian starts a cluster of its own on port 5432 when the package arrives. Nobody asked for one here.
install_postgres() {
    local conf=/etc/postgresql-common/createcluster.conf
    apt_install postgresql-common
    cp -p "$conf" "$conf.before-scitq"
    trap 'mv -f '"$conf.before-scitq $conf" EXIT
    echo 'create_main_cluster = false' >>"$conf"
    apt_install postgresql
}

have_postgres || {
    if ! can_apt; then
        echo "The tests need PostgreSQL's server programs: install them (Debian, as root: apt-get install postgresql)." >&2
        exit 1
    fi
    install_postgres
}

have_chromium() {
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null
}

have_chromium || {
    if ! can_apt; then
        echo "The tests of the page need Chromium: install it (Debian, as root: apt-get install chromium)." >&2
        exit 1
    fi
    apt_install chromium
}

command -v ip >/dev/null || {
    if ! can_apt; then
        echo "The tests of two machines need the program ip: install it (Debian, as root: apt-get install iproute2)." >&2
        exit 1
    fi
    apt_install iproute2
}
