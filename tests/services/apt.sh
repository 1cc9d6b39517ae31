# Sourced by venv.sh and setup.sh: `quietly` and `apt_install`.

# Runs a command without a word; when it fails, shows what it said and gives up.
quietly() {
    local log
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        echo "failed: $*" >&2
        tail -n 40 "$log" >&2
        rm -f "$log"
        exit 1
    fi
}

# True where Debian's packages can be installed without asking anybody.
can_apt() {
    [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null
}

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$@" >/dev/null 2>&1 && return
    quietly apt-get update -q
    quietly apt-get install -y -q --no-install-recommends "$@"
}
