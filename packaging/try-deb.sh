#!/usr/bin/env bash
# try-deb.sh PACKAGE.deb [SUITE] - what a stranger does with a package, as root: a Debian that has nothing yet, made
# by debootstrap in a folder; apt installs the package; a new cluster; a model; its first answer. Then the
# package's own tests. Each command is printed with the seconds since the first one.
#
# METASD_CHROOT=FOLDER takes a Debian that debootstrap has made there, and leaves it. The package mirror and the
# settings of apt are those of this machine.
set -eu
package=$(realpath "$1") suite=${2:-bookworm}
root=$(realpath "$(dirname "$0")/..")
version=$(dpkg-deb -f "$package" Package | sed 's/[^0-9]*\([0-9]*\).*/\1/')
folder=${METASD_CHROOT:-}
[ "$(id -u)" -eq 0 ] || { echo "try-deb.sh needs root, for chroot." >&2; exit 1; }

clean_up() {
    [ ! -x "$folder/usr/bin/pg_ctlcluster" ] || chroot "$folder" pg_ctlcluster "$version" try stop -m immediate 2>/dev/null || true
    ! mountpoint -q "$folder/dev" || umount -R "$folder/dev"
    ! mountpoint -q "$folder/proc" || umount "$folder/proc"
    [ -n "${METASD_CHROOT:-}" ] || rm -rf --one-file-system "$folder"
}

if [ -z "$folder" ]; then
    command -v debootstrap >/dev/null || { echo "Please install debootstrap." >&2; exit 1; }
    folder=$(mktemp -d /var/tmp/metasd-try.XXXXXX)
    trap clean_up EXIT
    mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' \
        /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
    debootstrap --variant=minbase "$suite" "$folder" "$mirror"
fi
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# What apt needs here it needs there, and where packages are mended, if it is the same release.
if [ "$suite" = "$(. /etc/os-release && echo "$VERSION_CODENAME")" ]; then
    rm -f "$folder/etc/apt/sources.list"
    for sources in sources.list sources.list.d/debian.sources; do
        [ ! -e "/etc/apt/$sources" ] || cp "/etc/apt/$sources" "$folder/etc/apt/$sources"
    done
fi
cp /etc/apt/apt.conf.d/* "$folder/etc/apt/apt.conf.d/"
printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
chmod 755 "$folder/usr/sbin/policy-rc.d"
mount --bind /proc "$folder/proc"
mount --rbind /dev "$folder/dev"
mount --make-rslave "$folder/dev"
cp "$package" "$folder/tmp"

export LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
unset PGHOST PGPORT PGUSER PGDATABASE
begun=$SECONDS
# there USER COMMAND: as that user in the chroot.
there() {
    printf '[%4d s] %s $ %s\n' $((SECONDS - begun)) "$1" "$2"
    chroot "$folder" runuser -u "$1" -- sh -c "cd / && $2"
}

there root "apt-get update -qq"
there root "apt-get install -y -qq --no-install-recommends /tmp/$(basename "$package") >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }"
there root "pg_createcluster $version try --start"
port=$(chroot "$folder" pg_conftool -s "$version" try show port)
examples=/usr/share/doc/postgresql-$version-metasd/examples
cat >"$folder/tmp/first.sql" <<SQL
CREATE EXTENSION metasd;
CREATE TABLE facts (head text, relation text, tail text, PRIMARY KEY (head, relation, tail));
\copy facts FROM '$examples/world.tsv'
SELECT kg_train('world', 'facts') AS run \gset
CALL kg_wait(:run);
SELECT rank, tail, probability FROM kg_predict('Jordan', 'borders', 3);
SQL
there postgres "psql -p $port -v ON_ERROR_STOP=1 -f /tmp/first.sql"
printf '[%4d s] that was the first answer\n' $((SECONDS - begun))
there root "pg_dropcluster --stop $version try"

# The package's own tests, as its source has them.
rm -rf "$folder/tmp/metasd"
mkdir "$folder/tmp/metasd"
tar -C "$root" -c --exclude=./build --exclude=./.git . | tar -C "$folder/tmp/metasd" -x
there root "apt-get install -y -qq --no-install-recommends make >/tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }"
for test in first-answer installcheck; do
    there root "cd /tmp/metasd && packaging/debian/tests/$test"
done
printf '[%4d s] all is well\n' $((SECONDS - begun))
