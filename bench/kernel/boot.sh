#!/bin/sh
# First process of a guest, in its final root: makes the buses, runs the command, switches off.
# /run/tbox is a folder of the host: `settings` sets the command ("$@"), folder, buses, mtu, kind, and exports variables;
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
    ip link add "vcan$bus" type vcan && ip link set "vcan$bus" mtu "$mtu" up || give_up "make vcan$bus"
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
    PATH=$command_path
    cd "$folder" || exit 126
    : >/run/tbox/started
    exec setsid -w "$@"
) >/run/out 2>/run/err </dev/null
status=$?
# What the command left running may hold the pipes open: that is no reason to wait long.
tries=100
for copy in $copies; do
    while [ "$tries" -gt 0 ] && kill -0 "$copy" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$copy/status"; do
        tries=$((tries - 1))
        sleep 0.05
    done
done
echo "$status" >/run/tbox/status.new && mv /run/tbox/status.new /run/tbox/status
switch_off
