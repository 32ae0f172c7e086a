#!/bin/sh
# shellcheck disable=SC1091,SC2154
# First process of a guest, in its final root: makes the buses, runs the command, switches off.
# /run/tbox is a folder of the host: `settings` sets the command ("$@", with its environment), folder, buses, mtu and kind;
# out and err take what the command prints, started is there when it was, status when it ended.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
hostname tbox-guest
ip link set lo up

switch_off() {
    sync
    echo o >/proc/sysrq-trigger
    sleep 10
}

give_up() { # WHAT
    echo "tbox-bench vcan: the guest cannot $1"
    switch_off
}

. /run/tbox/settings
modprobe -a can can_raw can_bcm || give_up "load the modules of SocketCAN"
bus=0
while [ "$bus" -lt "$buses" ]; do
    ip link add "vcan$bus" mtu "$mtu" type vcan || give_up "make vcan$bus"
    ip link set "vcan$bus" up || give_up "bring vcan$bus up"
    bus=$((bus + 1))
done
[ "$kind" != qemu ] || modprobe kvaser_pci || give_up "load kvaser_pci"

# Pipes, as a shell would give it: on a file `echo >/dev/stderr` would cut off what was written before.
mkfifo /run/out /run/err || give_up "make pipes"
cat </run/out >>/run/tbox/out &
copies=$!
cat </run/err >>/run/tbox/err &
copies="$copies $!"
(
    cd "$folder" || exit 126
    : >/run/tbox/started
    exec "$@"
) >/run/out 2>/run/err </dev/null
status=$?
echo "$status" >/run/tbox/status.new && mv /run/tbox/status.new /run/tbox/status
# What the command left running ends with it; then the pipes end, too.
for entry in /proc/[0-9]*; do
    case " 1 $copies " in
    *" ${entry#/proc/} "*) ;;
    *) kill -KILL "${entry#/proc/}" 2>/dev/null ;;
    esac
done
# shellcheck disable=SC2086 # two numbers
wait $copies
switch_off
