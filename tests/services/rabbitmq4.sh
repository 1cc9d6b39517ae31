#!/usr/bin/env bash
# Makes a root folder with RabbitMQ 4.x of Debian 13, for SCITQ_TEST_RABBITMQ. Says nothing when it is there already.
#   tests/services/rabbitmq4.sh /var/lib/rabbit4
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/services/apt.sh
root=${1:?the folder that is to become the root}
[ -x "$root/usr/lib/rabbitmq/bin/rabbitmq-server" ] && exit 0
if ! can_apt; then
    echo "Only root on a Debian can make $root: other releases of RabbitMQ are tested there." >&2
    exit 1
fi
command -v debootstrap >/dev/null || apt_install debootstrap
mkdir -p "$root"
[ -x "$root/usr/bin/apt-get" ] || quietly debootstrap --variant=minbase trixie "$root"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service starts there but those of a test
chmod 755 "$root/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$root/etc/resolv.conf"
quietly env DEBIAN_FRONTEND=noninteractive LC_ALL=C \
    chroot "$root" apt-get install -y -q --no-install-recommends rabbitmq-server
