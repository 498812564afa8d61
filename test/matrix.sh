#!/usr/bin/env bash
# matrix.sh [VERSION ...] - builds with warnings as errors and tests with PostgreSQL 13, 15, 17 and 18, each in
# the Debian release that carries it, and prints a table. It needs root and debootstrap, and takes from half an
# hour to hours.
#
# The releases are chroots in the folder METASD_MATRIX (metasd-matrix in TMPDIR or /var/tmp), which stay there for
# the next run. They come from where apt gets this machine's packages. METASD_STEPS names some of the steps of
# test/run.sh, METASD_TAP some TAP files. What is said of a version is in build/matrix/VERSION.log.
set -u
cd "$(dirname "$0")/.." || exit 1
[ "$(id -u)" -eq 0 ] && command -v debootstrap >/dev/null || {
    echo "It takes root and debootstrap to make a chroot (apt-get install debootstrap)." >&2
    exit 1
}
folder=${METASD_MATRIX:-${TMPDIR:-/var/tmp}/metasd-matrix}
steps=${METASD_STEPS:-unit regress isolation tap}
declare -A release=([13]=bullseye [15]=bookworm [17]=trixie [18]=sid)
log=$PWD/build/matrix
mkdir -p "$log" "$folder"
cat /dev/null >"$log/table"

mounted=()
clean_up() {
    local at
    for at in "${mounted[@]}"; do umount -R "$at" 2>/dev/null || umount -lR "$at"; done
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

# The mirror of Debian that apt uses here.
find_mirror() {
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        sed -n 's/^Debian \(.*[^/]\)\/*$/\1/p' | head -n 1
}

# is_served RELEASE: the mirror has it.
is_served() {
    local got
    got=$(mktemp) && /usr/lib/apt/apt-helper download-file "$mirror/dists/$1/InRelease" "$got" >/dev/null 2>&1
    local status=$?
    rm -f "$got"
    return "$status"
}

# mount_into CHROOT: what programs need of the running system.
mount_into() {
    mountpoint -q "$1/proc" || { mount --bind /proc "$1/proc" && mounted+=("$1/proc"); } || return 1
    mountpoint -q "$1/dev" || { mount --rbind /dev "$1/dev" && mount --make-rslave "$1/dev" && mounted+=("$1/dev"); }
}

# make_chroot RELEASE CHROOT: a small system, whose services do not start.
make_chroot() {
    [ ! -e "$2/etc/metasd-matrix" ] || return 0
    if [ -e "$2" ]; then # one that was not finished
        ! mountpoint -q "$2/proc" || umount "$2/proc" || return 1
        ! mountpoint -q "$2/dev" || umount -R "$2/dev" || return 1
        rm -rf --one-file-system "$2" || return 1
    fi
    debootstrap --variant=minbase "$1" "$2" "$mirror" && cp /etc/apt/apt.conf.d/* "$2/etc/apt/apt.conf.d/" || return 1
    printf '#!/bin/sh\nexit 101\n' >"$2/usr/sbin/policy-rc.d" && chmod 755 "$2/usr/sbin/policy-rc.d" || return 1
    touch "$2/etc/metasd-matrix"
}

# prepare_chroot VERSION CHROOT: this tree in /src/metasd, and what it needs.
prepare_chroot() {
    make_chroot "${release[$1]}" "$2" && mount_into "$2" || return 1
    rm -rf "$2/src/metasd" && mkdir -p "$2/src/metasd" || return 1
    git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$2/src/metasd" || return 1
    chroot "$2" env PG="$1" /src/metasd/test/setup.sh &&
        chroot "$2" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            python3 "postgresql-$1-cron" >/dev/null
}

# run_version VERSION: all of it; the log says how it went.
run_version() {
    local chroot=$folder/${release[$1]}
    prepare_chroot "$1" "$chroot" || return 1
    chroot "$chroot" env -C /src/metasd LC_ALL=C.UTF-8 PG="$1" make -s -k -j"$(nproc)" WERROR=1 all unit-programs &&
        echo "compile 1 passed, 0 failed, $SECONDS s" || { echo "compile 0 passed, 1 failed, $SECONDS s" && return 1; }
    chroot "$chroot" env -C /src/metasd LC_ALL=C.UTF-8 PG="$1" METASD_TAP="${METASD_TAP:-}" METASD_JOBS="${METASD_JOBS:-}" \
        test/run.sh $steps
}

mirror=$(find_mirror)
status=0
for version in "${@:-13 15 17 18}"; do
    for version in $version; do
        if [ -z "${release[$version]:-}" ]; then
            echo "$version skipped: no Debian release carries it" | tee -a "$log/table"
        elif [ ! -e "$folder/${release[$version]}/etc/metasd-matrix" ] && { [ -z "$mirror" ] || ! is_served "${release[$version]}"; }; then
            echo "$version skipped: ${release[$version]} is not served where apt gets packages" | tee -a "$log/table"
        else
            echo "$version: ${release[$version]}, log in $log/$version.log"
            SECONDS=0
            run_version "$version" >"$log/$version.log" 2>&1 || status=1
            grep -q '^compile ' "$log/$version.log" || echo "$version chroot 0 1 $SECONDS" >>"$log/table"
            sed -nE "s/^(compile|unit|regress|isolation|tap) +([0-9]+) passed, ([0-9]+) failed, ([0-9]+) s\$/$version \1 \2 \3 \4/p" \
                "$log/$version.log" >>"$log/table"
            sed -nE "s/^(.* is skipped: .*)/$version: \1/p" "$log/$version.log"
        fi
    done
done

echo
printf '%-10s %-10s %8s %8s %8s\n' version step passed failed seconds
while read -r version step rest; do
    if [ "$step" = skipped: ]; then echo "$version skipped: $rest"; else printf '%-10s %-10s %8s %8s %8s\n' "$version" "$step" $rest; fi
done <"$log/table"
exit "$status"
