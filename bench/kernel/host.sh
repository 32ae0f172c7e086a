#!/bin/sh
# host.sh FOLDER BUSES MTU COMMAND...: runs the command in FOLDER, in a network and mount namespace made for it, with
# buses vcan0 to vcan(BUSES-1). Exit status 126 when there are no such buses.
folder=$1 buses=$2 mtu=$3
shift 3
ip link set lo up
mount -t sysfs sysfs /sys 2>/dev/null # so that /sys/class/net shows this namespace
bus=0
while [ "$bus" -lt "$buses" ]; do
    ip link add "vcan$bus" mtu "$mtu" type vcan || exit 126
    ip link set "vcan$bus" up || exit 126
    bus=$((bus + 1))
done
cd "$folder" || exit 126
exec "$@"
