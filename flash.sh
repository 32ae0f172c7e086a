#!/bin/sh
# Puts the agent onto a device; `./flash.sh --help` lists how.
set -eu

unset CDPATH
umask 022 # the service reads what root installs
here=$(cd "$(dirname "$0")" && pwd)

usage() {
    cat <<'END'
usage: flash.sh pi [OPTIONS]

  pi   a Raspberry Pi (64-bit system) or any Debian 12, Ubuntu 24.04 or newer on x86-64 or 64-bit ARM, as root:
       program in /opt/tbox, configuration in /etc/tbox, stored reports in /var/lib/tbox, user tbox, service tbox

  --bundle DIR      install from a folder made by `./task bundle`, without internet
                    (the default where flash.sh lies in such a folder; else the checkout beside it, needs a package index)
  --host USER@HOST  do it on that machine, over ssh, from a bundle (made first if none is named)
  --root DIR        install into a system image under DIR instead of this system
  --uninstall       take it off again; configuration and stored reports stay
  --purge           with --uninstall: these too, and the user
  --dry-run         print every step, touch nothing
  TBOX_PYTHON       the Python to use (default: the system's, 3.11 to 3.13)

A second run changes only what differs; files in /etc/tbox are never overwritten.
END
}

say() { printf '%s\n' "$*"; }

die() { # STATUS MESSAGE...
    status=$1
    shift
    printf 'flash.sh: %s\n' "$@" >&2
    exit "$status"
}

# --- steps ------------------------------------------------------------------------------------------------------------

changes=0

kept() { say "kept     $*"; }

step() { # what is about to change
    changes=$((changes + 1))
    if $dry_run; then say "would    $*"; else say "doing    $*"; fi
}

run() {
    if $dry_run; then
        say "           + $*"
    else
        "$@" || die 1 "failed: $*"
    fi
}

systemd_runs() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

# --- what the machine must have ---------------------------------------------------------------------------------------

check_machine() {
    machine=$(uname -m)
    case $machine in
    x86_64 | aarch64) ;;
    arm*) die 2 "this is 32-bit ARM ($machine): msgspec, which the agent needs, has no wheel for it." \
        "Install the 64-bit Raspberry Pi OS; every Raspberry Pi from 3 on runs it." ;;
    *) die 2 "this machine is $machine; x86_64 and aarch64 are supported" ;;
    esac
    if ! $dry_run && [ "$(id -u)" != 0 ]; then
        die 2 "needs root: type 'sudo $0 pi ...', or add --dry-run to see what it would do"
    fi
}

# A system's own Python: the service does not see one in somebody's home.
find_python() {
    fits='import sys; v = sys.version_info[:2]; home = sys.base_prefix.startswith(("/home", "/root"))
print("%d.%d" % v); sys.exit(home or not (3, 11) <= v <= (3, 13))'
    for python in ${TBOX_PYTHON:-/usr/bin/python3 /usr/local/bin/python3 python3.13 python3.12 python3.11} ''; do
        if [ -n "$python" ] && version=$("$python" -c "$fits" 2>/dev/null); then break; fi
    done
    [ -n "$python" ] || die 2 "no system-wide Python 3.11 to 3.13${TBOX_PYTHON:+ (TBOX_PYTHON=$TBOX_PYTHON is none)}:" \
        "apt-get install -y python3 python3-venv"
    # A 64-bit kernel below a 32-bit system calls itself aarch64 too.
    [ "$("$python" -c 'import struct; print(struct.calcsize("P"))')" = 8 ] ||
        die 2 "this system is 32-bit ($python is): msgspec, which the agent needs, has no wheel for it." \
            "Install the 64-bit Raspberry Pi OS."
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        step "python3-venv, without which $python makes no virtual environment"
        run env DEBIAN_FRONTEND=noninteractive apt-get install -y -q python3-venv
    fi
}

# Names what is to be installed: the same source on the same Python gives the same id.
find_source() {
    if [ -n "$bundle" ]; then
        [ -f "$bundle/SHA256SUMS" ] || die 2 "$bundle is not a bundle (no SHA256SUMS): make one with ./task bundle"
        (cd "$bundle" && sha256sum --quiet -c SHA256SUMS) || die 1 "a file of the bundle is missing or damaged: copy it again"
        source_id=$(sha256sum <"$bundle/SHA256SUMS" | cut -c1-12)
    else
        [ -f "$here/pyproject.toml" ] || die 2 "neither a checkout nor a bundle beside $0: name one with --bundle DIR"
        source_id=$(cd "$here" && find agent bench dbc pyproject.toml README.md -type f ! -name '*.pyc' |
            LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-12)
    fi
    new=$opt/venv-$version-$source_id
}

# --- install ----------------------------------------------------------------------------------------------------------

install_user() {
    if [ -n "$root" ] && [ ! -f "$root/etc/passwd" ]; then
        say "skipped  user tbox: $root has no /etc/passwd; the service needs that user"
        return
    fi
    if grep -q '^tbox:' "$root/etc/passwd"; then
        kept "user tbox"
        return
    fi
    step "user tbox"
    run useradd ${root:+--prefix "$root"} --system --user-group --no-create-home --home-dir /var/lib/tbox \
        --shell /usr/sbin/nologin tbox
}

# User and group id of tbox as this system, or the image, numbers them; nothing when there is no such user.
owner() {
    if [ -f "$root/etc/passwd" ]; then awk -F: '$1 == "tbox" { print $3 ":" $4 }' "$root/etc/passwd"; fi
}

# A new version gets a folder of its own; the link is turned when it is whole, so a cut leaves the old one running.
install_program() {
    if [ "$(readlink "$opt/venv" 2>/dev/null)" = "${new##*/}" ]; then
        kept "program in $opt"
        return
    fi
    step "program in $opt (Python $version)"
    run rm -rf "$new"
    run mkdir -p "$opt"
    run "$python" -m venv "$new"
    if [ -n "$bundle" ]; then
        # Settings of this machine's pip that point elsewhere must not reach in.
        run env PIP_CONFIG_FILE=/dev/null "$new/bin/python" -m pip --isolated --disable-pip-version-check install -q \
            --no-index --find-links "$bundle/wheels" "tbox-agent[$extras]"
    else
        run "$new/bin/python" -m pip --disable-pip-version-check install -qq "${here}[$extras]"
    fi
    if [ -n "$root" ]; then
        step "paths of the image in $new"
        run find "$new/bin" "$new/pyvenv.cfg" -type f -exec sed -i "s|$root/opt/tbox|/opt/tbox|g" {} +
    fi
    old=$(readlink "$opt/venv" 2>/dev/null || true)
    run ln -sfn "${new##*/}" "$opt/venv"
    if [ -n "$old" ]; then run rm -rf "${opt:?}/$old"; fi
}

install_command() {
    link=$root/usr/local/bin/tbox
    if [ "$(readlink "$link" 2>/dev/null)" = /opt/tbox/venv/bin/tbox ]; then
        kept "command /usr/local/bin/tbox"
        return
    fi
    step "command /usr/local/bin/tbox"
    run mkdir -p "$root/usr/local/bin"
    run ln -sfn /opt/tbox/venv/bin/tbox "$link"
}

install_folder() { # FOLDER MODE OWNER
    if [ -d "$1" ]; then
        kept "$1"
        return
    fi
    step "$1"
    run mkdir -p "$1"
    run chmod "$2" "$1"
    if [ -n "$3" ]; then run chown "$3" "$1"; fi
}

install_configuration() {
    ids=$(owner)
    install_folder "$etc" 750 "${ids:+0:${ids#*:}}"
    if [ -f "$etc/tbox.toml" ]; then
        kept "configuration $etc/tbox.toml"
        return
    fi
    step "configuration in $etc, to be filled in"
    if $dry_run; then
        say "           + tbox init, and what is not there yet goes to $etc"
        return
    fi
    draft=$(mktemp -d)
    trap 'rm -rf "$draft"' EXIT
    "$new/bin/python" "$new/bin/tbox" init "$draft" --interface socketcan >/dev/null 2>&1 ||
        die 1 "failed: tbox init $draft --interface socketcan"
    # The service may write below /var/lib/tbox only.
    sed -i 's|^path = "tbox.db"|path = "/var/lib/tbox/tbox.db"|' "$draft/tbox.toml"
    grep -q '^path = "/var/lib/tbox/tbox.db"' "$draft/tbox.toml" || die 1 "tbox init wrote no outbox path to set"
    for file in "$draft"/*; do
        if [ -e "$etc/${file##*/}" ]; then continue; fi
        run cp "$file" "$etc/"
        run chmod 640 "$etc/${file##*/}"
        if [ -n "$ids" ]; then run chown "0:${ids#*:}" "$etc/${file##*/}"; fi
    done
}

install_service() {
    unit=$root/etc/systemd/system/tbox.service
    shipped=$(echo "$new"/lib/python3.*/site-packages/agent/service/tbox.service)
    if cmp -s "$shipped" "$unit"; then
        kept "service $unit"
    else
        step "service $unit"
        run mkdir -p "$root/etc/systemd/system"
        run cp "$shipped" "$unit"
        run chmod 644 "$unit"
        if systemd_runs; then run systemctl daemon-reload; fi
    fi
    if ! systemd_runs; then
        [ -n "$root" ] || say "note     systemd does not run here: start it yourself, as user tbox: tbox run -c /etc/tbox/tbox.toml"
    elif [ "$changes" -gt 0 ] && systemctl -q is-active tbox; then
        step "restart of the running service"
        run systemctl restart tbox
    fi
}

install_all() {
    check_machine
    find_python
    find_source
    install_user
    install_program
    install_command
    install_configuration
    install_folder "$state" 750 "$(owner)"
    install_service
    report "installed"
    if $dry_run; then return; fi
    cat <<END

Next:
  sudoedit /etc/tbox/tbox.toml             # VIN, ICCID, CAN interfaces, platform
  sudo -u tbox tbox check -c /etc/tbox/tbox.toml
  sudo systemctl enable --now tbox
END
}

# --- uninstall --------------------------------------------------------------------------------------------------------

remove() { # PATH
    if [ ! -e "$1" ] && [ ! -L "$1" ]; then return; fi
    step "$1 goes"
    run rm -rf "${1:?}"
}

uninstall_all() {
    check_machine
    unit=$root/etc/systemd/system/tbox.service
    if systemd_runs && [ -f "$unit" ]; then
        step "service tbox stops"
        run systemctl disable --now tbox
    fi
    remove "$unit"
    if systemd_runs; then run systemctl daemon-reload; fi
    case $(readlink "$root/usr/local/bin/tbox" 2>/dev/null) in
    /opt/tbox/*) remove "$root/usr/local/bin/tbox" ;;
    esac
    remove "$opt"
    remove "$root/var/cache/tbox"
    if $purge; then
        remove "$etc"
        remove "$state"
        if grep -q '^tbox:' "$root/etc/passwd" 2>/dev/null; then
            step "user tbox goes"
            run userdel ${root:+--prefix "$root"} tbox
        fi
    else
        for folder in "$etc" "$state"; do
            if [ -e "$folder" ]; then kept "$folder (--purge removes it)"; fi
        done
    fi
    report "uninstalled"
}

report() { # DONE
    if [ "$changes" = 0 ]; then
        say "nothing changed"
    elif $dry_run; then
        say "dry run: $changes steps, nothing was touched"
    else
        say "$1, $changes steps"
    fi
}

# --- another machine --------------------------------------------------------------------------------------------------

# The bundle goes over first; the second call has the terminal, for sudo may want a password.
on_host() {
    if [ -z "$bundle" ]; then
        bundle=$here/dist/bundle
        run "$here/task" bundle "$bundle"
    fi
    # shellcheck disable=SC2016 # expanded over there
    send='folder=$(mktemp -d) && tar -xf - -C "$folder" && echo "$folder"'
    if $dry_run; then
        say "           + tar -cf - -C $bundle . | ssh $host 'tar -xf - into a new folder'"
        say "           + ssh -t $host 'sudo sh flash.sh pi$passed_on', then the folder goes"
        return
    fi
    # shellcheck disable=SC2029 # the folder's name is to be expanded there, which it is
    there=$(tar -cf - -C "$bundle" . | ssh "$host" "$send") || die 1 "could not copy the bundle to $host"
    ssh -t "$host" "if [ \"\$(id -u)\" != 0 ]; then with=sudo; fi
        \${with:-} sh '$there/flash.sh' pi$passed_on; status=\$?; rm -rf '$there'; exit \$status"
}

# ----------------------------------------------------------------------------------------------------------------------

case ${1:-} in
pi) shift ;;
-h | --help | help)
    usage
    exit
    ;;
'')
    usage >&2
    exit 2
    ;;
*) die 2 "target '$1': not yet; there is: pi" ;;
esac

# What tbox.toml can ask for on a vehicle: [security]; [gnss], [modem] and serial adapters. The rest is for a desk.
extras=crypto,serial
bundle='' host='' root='' dry_run=false uninstall=false purge=false passed_on=''
if [ -f "$here/SHA256SUMS" ]; then bundle=$here; fi
while [ $# -gt 0 ]; do
    case $1 in
    --bundle | --host | --root)
        [ $# -ge 2 ] || die 2 "$1 needs a value"
        case $1 in
        --bundle) bundle=$2 ;;
        --host) host=$2 ;;
        --root) root=$2 ;;
        esac
        shift
        ;;
    --dry-run) dry_run=true ;;
    --uninstall) uninstall=true passed_on="$passed_on --uninstall" ;;
    --purge) purge=true passed_on="$passed_on --purge" ;;
    -h | --help)
        usage
        exit
        ;;
    *) die 2 "no option '$1' (./flash.sh --help lists them)" ;;
    esac
    shift
done
if $purge && ! $uninstall; then die 2 "--purge goes with --uninstall"; fi
if [ -n "$bundle" ]; then bundle=$(cd "$bundle" && pwd) || die 2 "no folder $bundle"; fi
if [ -n "$root" ]; then
    [ -z "$host" ] || die 2 "--root and --host do not go together"
    root=$(cd "$root" 2>/dev/null && pwd) || die 2 "--root: no such folder"
    [ "$root" != / ] || root=''
fi
opt=$root/opt/tbox etc=$root/etc/tbox state=$root/var/lib/tbox

if [ -n "$host" ]; then
    on_host
elif $uninstall; then
    uninstall_all
else
    install_all
fi
