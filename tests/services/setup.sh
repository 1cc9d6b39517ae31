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

have_rabbitmq() {
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null
}

# Debian starts a server when its package arrives, and again at each boot. Nobody asked for that here: while it is
# installed no service may start, and afterwards its units (named behind the package) are disabled.
install_asleep() (
    package=$1
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && mv -f "$policy" "$policy.before-scitq"
    trap 'rm -f "$policy"; [ ! -e "$policy.before-scitq" ] || mv -f "$policy.before-scitq" "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    apt_install "$package"
    for unit in "${@:2}"; do
        if command -v systemctl >/dev/null; then
            quietly systemctl disable "$unit"
        elif [[ $unit = *.service && -e /etc/init.d/${unit%.service} ]]; then
            quietly update-rc.d "${unit%.service}" disable
        fi
    done
)

install_rabbitmq() {
    local mapper=()  # Erlang's, which comes with it
    command -v epmd >/dev/null || mapper=(epmd.service epmd.socket)
    install_asleep rabbitmq-server rabbitmq-server.service "${mapper[@]}"
}

have_rabbitmq || {
    if ! can_apt; then
        echo "The tests need RabbitMQ's programs: install them (Debian, as root: apt-get install rabbitmq-server)." >&2
        exit 1
    fi
    install_rabbitmq
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

command -v vsftpd >/dev/null || {
    if ! can_apt; then
        echo "The tests of downloads need vsftpd: install it (Debian, as root: apt-get install vsftpd)." >&2
        exit 1
    fi
    install_asleep vsftpd vsftpd.service
}

for program in pigz zstd rclone aria2 ncdu; do
    command -v "$program" >/dev/null || command -v "${program}c" >/dev/null || {
        if ! can_apt; then
            echo "The tests of downloads need $program: install it (Debian, as root: apt-get install $program)." >&2
            exit 1
        fi
        apt_install "$program"
    }
done

# Azurite and s3rver, which are programs of Node's: into a folder of this checkout, in just the versions of the lock.
have_node_services() {
    [ -x .services/node_modules/.bin/azurite-blob ] && cmp -s tests/services/npm/package-lock.json .services/package-lock.json
}

have_node_services || {
    if ! command -v npm >/dev/null; then
        if ! can_apt; then
            echo "The tests of stores need npm to install Azurite and s3rver: install it (Debian, as root: apt-get install npm)." >&2
            exit 1
        fi
        apt_install npm
    fi
    mkdir -p .services
    cp tests/services/npm/package.json tests/services/npm/package-lock.json .services/
    rm -f .services/node_modules/.bin/azurite-blob  # it says that all is there
    quietly env --chdir=.services npm ci --no-audit --no-fund --ignore-scripts
}

command -v dockerd >/dev/null && command -v docker-registry >/dev/null && command -v busybox >/dev/null || {
    if ! can_apt; then
        echo "The tests of containers need dockerd, docker-registry and busybox: install them" \
            "(Debian, as root: apt-get install docker.io docker-registry busybox-static)." >&2
        exit 1
    fi
    command -v dockerd >/dev/null || install_asleep docker.io docker.service docker.socket containerd.service
    command -v docker-registry >/dev/null || install_asleep docker-registry docker-registry.service
    command -v busybox >/dev/null || apt_install busybox-static
}
