#!/bin/sh
# Installs tbox and tbox-bench from this folder into a virtual environment, without a network.
# usage: sh install.sh [VENV]        (default: ~/tbox; TBOX_PYTHON names the Python, 3.11 to 3.13)
set -eu

unset CDPATH
bundle=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$HOME/tbox}

die() { # STATUS MESSAGE...
    status=$1
    shift
    printf 'install.sh: %s\n' "$@" >&2
    exit "$status"
}

fits='import struct, sys; sys.exit(not ((3, 11) <= sys.version_info[:2] <= (3, 13) and struct.calcsize("P") == 8))'
for python in ${TBOX_PYTHON:-python3 python3.13 python3.12 python3.11} ''; do
    if [ -n "$python" ] && "$python" -c "$fits" 2>/dev/null; then break; fi
done
[ -n "$python" ] || die 2 "needs a 64-bit Python 3.11 to 3.13: none among ${TBOX_PYTHON:-python3 python3.13 python3.12 python3.11}"
machine=$(uname -m)
case $machine in
x86_64 | aarch64) ;;
*) die 2 "this machine is $machine; the wheels are for x86_64 and aarch64 (64-bit operating system)" ;;
esac
(cd "$bundle" && sha256sum --quiet -c SHA256SUMS) ||
    die 1 "a file is missing or damaged (above): copy the folder again"
"$python" -c 'import ensurepip' 2>/dev/null ||
    die 2 "$python cannot make a virtual environment; type this as root, then start again:" "apt-get install -y python3-venv"
if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then die 2 "$venv is in the way: name another folder"; fi

"$python" -m venv --clear "$venv"
# Settings of this machine's pip that point elsewhere must not reach in.
PIP_CONFIG_FILE=/dev/null "$venv/bin/python" -m pip --isolated --disable-pip-version-check install -q --no-index \
    --find-links "$bundle/wheels" 'tbox-agent[bench,crypto,serial,suggest,watch]'
printf 'installed; start with\n  %s/bin/tbox --help\n' "$venv"
