#!/bin/busybox sh
# shellcheck shell=dash disable=SC1091,SC2154
# First process of the emulated machine, in its initramfs. Its root is the host's, over 9p and read-only; here it gets a layer of
# RAM on top, and the share. `settings` beside this file sets modules and share (paths on the host).
. /settings

do_() { /bin/busybox "$@"; }

give_up() { # WHAT
    echo "tbox-bench vcan: the guest cannot $1"
    do_ poweroff -f
    do_ sleep 10
}

do_ mount -t proc proc /proc
do_ mount -t sysfs sysfs /sys
do_ mount -t devtmpfs devtmpfs /dev
while read -r module; do do_ insmod "/modules/$module" || give_up "load $module"; done </modules/list
options=trans=virtio,version=9p2000.L,msize=512000
do_ mount -t 9p -o "$options,cache=loose,ro" root /lower || give_up "mount the root"
do_ mount -t tmpfs -o size=75% tmpfs /ram && do_ mkdir /ram/upper /ram/work
do_ mount -t overlay -o lowerdir=/lower,upperdir=/ram/upper,workdir=/ram/work overlay /root || give_up "mount the overlay"
cd /root || give_up "enter the overlay"
for name in proc sys dev; do do_ mount --move "/$name" "$name"; done
do_ mkdir -p dev/shm dev/pts
do_ mount -t tmpfs tmpfs dev/shm
do_ mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
do_ ln -sf /proc/self/fd dev/fd
do_ ln -sf fd/0 dev/stdin
do_ ln -sf fd/1 dev/stdout
do_ ln -sf fd/2 dev/stderr
do_ mount -t tmpfs -o mode=755 tmpfs run
version=$(do_ uname -r)
do_ mkdir -p run/lock run/tbox "lib/modules/$version"
do_ mount --bind "/lower$modules" "lib/modules/$version" || give_up "mount the modules"
do_ mkdir -p ".$share"
do_ mount -t 9p -o "$options,cache=mmap" share ".$share" || give_up "mount the share $share"
do_ mount -t 9p -o "$options,cache=none" control run/tbox || give_up "mount the control folder"
# As the first process itself: the kernel looks for its modprobe in the root of that one.
exec /bin/busybox switch_root /root /bin/sh /run/tbox/boot.sh <dev/null
