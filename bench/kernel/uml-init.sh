#!/bin/sh
# shellcheck disable=SC1091,SC2154
# First process of User Mode Linux. Its root is the host's, read-only; here it gets a layer of RAM on top, and the share.
# Beside this file lies `settings`, which sets modules, share, control (paths on the host).
. "${0%/*}/settings"
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH

give_up() { # WHAT
    echo "tbox-bench vcan: the guest cannot $1"
    exit 1 # the kernel stops with its first process
}

mount -t proc proc /proc || give_up "mount /proc"
mount -t tmpfs -o size=75% tmpfs /run || give_up "mount a tmpfs on /run"
mkdir /run/upper /run/work /run/root
insmod "$modules/kernel/fs/overlayfs/overlay.ko" || give_up "load overlay.ko"
mount -t overlay -o lowerdir=/,upperdir=/run/upper,workdir=/run/work overlay /run/root || give_up "mount the overlay"
cd /run/root || give_up "enter the overlay"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
ln -sf /proc/self/fd dev/fd
ln -sf fd/0 dev/stdin
ln -sf fd/1 dev/stdout
ln -sf fd/2 dev/stderr
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/lock run/tbox "lib/modules/$(uname -r)"
mount --bind "$modules" "lib/modules/$(uname -r)" || give_up "mount the modules"
mkdir -p ".$share"
mount -t hostfs -o "$share" none ".$share" || give_up "mount the share $share"
mount -t hostfs -o "$control" none run/tbox || give_up "mount $control"
exec chroot . /bin/sh /run/tbox/boot.sh
