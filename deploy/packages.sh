#!/bin/sh
# Installs the Debian packages that are missing for one of: run, test, bench, model. Quick and silent when none is.
set -eu

# Python runs the example agent.
run="libarchive-dev libpq-dev libssl-dev libcurl4-openssl-dev zlib1g-dev postgresql util-linux curl pkg-config gcc libc6-dev make python3"
test="$run nginx-light haproxy pgbouncer python3-venv procps bubblewrap git chromium libfaketime openssl"
bench="$test postgresql-contrib"
model="spin gcc libc6-dev"

case "${1:-}" in
    run) wanted=$run ;;
    test) wanted=$test ;;
    bench) wanted=$bench ;;
    model) wanted=$model ;;
    *) echo "usage: $0 run|test|bench|model" >&2; exit 64 ;;
esac

# A package counts as there, too, when another provides its name (nginx-full does for nginx-light's purpose).
installed() {
    dpkg-query --show --showformat='${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

satisfied() {
    case "$1" in
        nginx-light) command -v nginx || test -x /usr/sbin/nginx ;;
        postgresql) command -v pg_ctlcluster && ls /usr/lib/postgresql/*/bin/postgres ;;
        postgresql-contrib) ls /usr/lib/postgresql/*/bin/pgbench ;;
        *) installed "$1" ;;
    esac >/dev/null 2>&1
}

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "packages: this is not a Debian; make sure that you have the equivalent of: $wanted" >&2
    exit 0
fi

missing=""
for package in $wanted; do
    satisfied "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo"
else
    echo "packages: please have an administrator run: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi

echo "packages: installing$missing" >&2

# Turnpike brings up PostgreSQL itself, so the package need not make and start a cluster of its own. Said only where
# PostgreSQL has never been configured: an existing configuration is its owner's.
config=/etc/postgresql-common/createcluster.conf
if [ ! -e "$config" ]; then
    $as_root mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | $as_root tee "$config" >/dev/null
fi

# Confold: the file above is kept without a question. The lists are fetched anew only if what is there does not do.
install() {
    # shellcheck disable=SC2086 # the list is meant to be split
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends \
        -o Dpkg::Options::=--force-confold $missing
}
install >/dev/null 2>&1 || { $as_root apt-get update --quiet && install; }
