#!/bin/sh
# What the tests (and with "bench" the benchmark, with "pictures" those) need from outside Python: installed here as root,
# named exactly otherwise.
set -eu

missing=""
need() { # command, Debian package
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need chromium chromium
need nginx nginx-light
need caddy caddy
need strace strace
need ip iproute2
need cc gcc
need node nodejs
need npm npm
need hugo hugo
need openssl openssl
[ -f /usr/include/stdlib.h ] || missing="$missing libc6-dev"
if [ "${1:-}" = bench ]; then
    [ -f /usr/lib/nginx/modules/ngx_nchan_module.so ] || missing="$missing libnginx-mod-nchan"
fi

if [ "${1:-}" = pictures ]; then
    [ -d /usr/share/fonts/truetype/noto ] || missing="$missing fonts-noto-core"
fi

[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing …"
    apt-get update -qq
    # Debian starts what it installs; the tests start their own.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing
    exit 0
fi
echo "These are needed from Debian:$missing" >&2
echo "Install them with: sudo apt-get install --no-install-recommends$missing" >&2
exit 1
