# A host's disk that becomes full under raw and qcow2 images: the guest has I/O errors, goes on, and writes again when there is room.
# on: x86_64 aarch64 s390x
# seconds: 240
# initrds: initrd-disk.img
. /lab/scenarios/lib.sh

mkdir "$RUN/small" && mount -t tmpfs -o size=14M tmpfs "$RUN/small" || fail "no small file system"
cd "$RUN/small" || fail "no folder"
truncate -s 32M uring.raw threads.raw base
qcow2 q.qcow2 base 32
vm_boot_with_ext4 guest --disk path=uring.raw,serial=uring --disk path=threads.raw,serial=threads,io=threads --disk path=q.qcow2,serial=q
vm_name_disks guest
# shellcheck disable=SC2016  (the guest expands it)
vm_type guest 'for d in uring threads q; do /sbin/mke2fs -q -t ext4 -J size=1 /dev/$d; mkdir -p /mnt/$d; mount -t ext4 -o errors=remount-ro /dev/$d /mnt/$d || echo "FAILED $d"; done; head -c 200000 /dev/urandom >/tmp/data; for d in uring threads q; do cp /tmp/data /mnt/$d/before; done; sync; echo "all are" mounted'
vm_wait guest '^all are mounted' 120
check "all disks were" test "$(vm_count guest '^FAILED')" = 0

# More on each than there is room for: something is told to fail.
# shellcheck disable=SC2016
vm_type guest 'for d in uring threads q; do dd if=/dev/urandom of=/mnt/$d/much bs=64k count=240 conv=fsync 2>/tmp/err; echo "$d ended with" $?; cat /tmp/err; done; echo "the host" is full'
vm_wait guest '^the host is full' 200
for disk in uring threads q; do
	check "writing to $disk failed" test "$(vm_count guest "^$disk ended with 1")" = 1
done
check "by I/O errors" test "$(vm_count guest 'I/O error|Input/output error|Read-only file system')" -ge 3
check "triarch says why" grep -q 'No space left' "$OUT/triarch-guest.log"
check "and not for each request ($(wc -l <"$OUT/triarch-guest.log") lines)" test "$(wc -l <"$OUT/triarch-guest.log")" -lt 30
# It lives, and what it had is there.
vm_answers guest
# shellcheck disable=SC2016
vm_type guest 's=$(sha256sum </tmp/data); for d in uring threads q; do umount /mnt/$d; dd if=/dev/$d of=/dev/null bs=64k 2>/dev/null && echo "$d is" readable; done'
for disk in uring threads q; do
	vm_wait guest "^$disk is readable" 60
done

# There is room again.
mount -o remount,size=200M "$RUN/small" || fail "no more room"
# shellcheck disable=SC2016
vm_type guest 'for d in uring threads q; do /sbin/e2fsck -fy /dev/$d >/tmp/fsck 2>&1; [ $? -le 1 ] || { cat /tmp/fsck; echo "FAILED $d"; }; mount -t ext4 /dev/$d /mnt/$d || echo "FAILED $d"; [ "$(sha256sum </mnt/$d/before)" = "$s" ] || echo "FAILED before $d"; rm -f /mnt/$d/much; dd if=/dev/urandom of=/mnt/$d/more bs=64k count=160 conv=fsync 2>/dev/null || echo "FAILED more $d"; umount /mnt/$d; /sbin/e2fsck -fn /dev/$d >/dev/null || echo "FAILED check $d"; done; echo "all is" well'
vm_wait guest '^all is well' 200
check "all disks write again" test "$(vm_count guest '^FAILED')" = 0
vm_poweroff guest
cd / && umount "$RUN/small"
