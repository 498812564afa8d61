#!/usr/bin/env bash
# build-deb.sh [FOLDER] - builds the Debian packages of what is committed, in FOLDER (build/deb), for the PostgreSQL
# versions that are installed or that the release has, and checks them with lintian where that is installed.
#
# What it needs: apt-get install build-essential debhelper lintian libopenblas-serial-dev postgresql-server-dev-all
# postgresql-all. DEB_BUILD_OPTIONS=nocheck leaves the tests out.
set -eu
# Without the tests no server is needed.
[[ ${DEB_BUILD_OPTIONS:-} != *nocheck* ]] || export DEB_BUILD_PROFILES=${DEB_BUILD_PROFILES:-nocheck}
cd "$(dirname "$0")/.."
folder=$(realpath -m "${1:-build/deb}")
version=$(sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' packaging/debian/changelog)
name=metasd_$version

# exported: the tree as it was committed, or as it was unpacked.
exported() {
    if git rev-parse --git-dir >/dev/null 2>&1; then
        git archive --prefix="metasd-$version/" HEAD
    else
        tar -c --exclude=./build --transform="s,^\.,metasd-$version," .
    fi
}

rm -rf "$folder"
mkdir -p "$folder"
exported | gzip -n >"$folder/$name.orig.tar.gz"
tar -C "$folder" -xzf "$folder/$name.orig.tar.gz"
cd "$folder/metasd-$version"
cp -r packaging/debian debian
pg_buildext updatecontrol
dpkg-buildpackage -us -uc "${METASD_BUILD:---build=full}"
cd ..
if command -v lintian >/dev/null; then
    lintian --display-info --pedantic --fail-on error,warning "$name"-*_*.changes
fi
ls -l "$folder"/*.deb
