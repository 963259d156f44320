#!/bin/sh
# Turns a set of fresh namespaces into a machine and becomes its systemd. First process of a VM,
# started by `vm.py` in new mount, PID, UTS, IPC, network and cgroup namespaces.
#
# vminit.sh ROOT LAYER DISK HOSTNAME PRODUCT_UUID BOUNDING_SET
set -eu
root=$1 layer=$2 disk=$3 name=$4 product=$5 without=$6

mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$layer:/,upperdir=$disk/upper,workdir=$disk/work" "$root"
cd "$root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs tmp
mount -t tmpfs -o mode=755,nosuid tmpfs dev
mkdir -p dev/pts run/old run/log/journal
# The journal is read from outside as well, after a power cut above all.
mount --bind "$disk/journal" run/log/journal
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
for node in null,3 zero,5 full,7 random,8 urandom,9; do
    mknod -m 666 "dev/${node%,*}" c 1 "${node#*,}"
done
mknod -m 666 dev/tty c 5 0

# The kernel is the machine's outside: of its settings only those of the network are the VM's own.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,rw proc/sys/net

# A new boot id at every boot, as a kernel would draw one.
cat proc/sys/kernel/random/uuid > run/boot_id
mount --bind run/boot_id proc/sys/kernel/random/boot_id
mount -o remount,bind,ro proc/sys/kernel/random/boot_id
if [ -e sys/class/dmi/id/product_uuid ]; then
    echo "$product" > run/product_uuid
    mount --bind run/product_uuid sys/class/dmi/id/product_uuid
fi
# The machine outside is not the VM's to reset.
if [ -e proc/sysrq-trigger ]; then
    mount --bind proc/sysrq-trigger proc/sysrq-trigger
    mount -o remount,bind,ro proc/sysrq-trigger
fi

hostname "$name"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 sys/fs/cgroup
pivot_root . run/old
umount -l /run/old
rmdir /run/old
exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv "$without" \
    /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=0 \
    </dev/null
