# A whole Debian on a qcow2 disk over a read-only raw image: systemd boots it to a login and shuts it down, and its file system is clean.
# on: aarch64
# seconds: 400
# initrds: initrd-debian.img initrd-disk.img debian.raw
. /lab/scenarios/lib.sh

cd "$RUN" || fail "no folder"
# A backing file is in its image's folder.
touch base && mount -o bind /lab/debian.raw base || fail "no image"
qcow2 root.qcow2 base $(($(stat -c %s base) >> 20))
debian_round_trip guest path=root.qcow2
umount base
