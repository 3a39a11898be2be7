# fio's writes, verified by CRC-32C, on raw and qcow2 disks over all sync modes, by io_uring and by threads; again in another guest.
# on: x86_64 aarch64 s390x
# seconds: 400
# initrds: initrd-disk.img debian.raw
. /lab/scenarios/lib.sh

cd "$RUN" || fail "no folder"
# What a disk is called, and how it is had: by the first guest, and by the second.
disks='
uring         raw    sync=writeback               sync=direct
uring-direct  raw    sync=direct                  sync=writeback,io=threads
uring-through raw    sync=writethrough            sync=writeback
threads       raw    sync=writeback,io=threads    sync=writethrough,io=threads
q-back        qcow2  sync=writeback               sync=direct
q-direct      qcow2  sync=direct                  sync=writethrough
q-through     qcow2  sync=writethrough            sync=writeback
'
{
	printf '[global]\nthread\nioengine=libaio\niodepth=8\ndirect=1\nsize=6M\nverify=crc32c\nverify_fatal=1\nverify_dump=0\n'
	printf 'rw=randwrite\nbsrange=4k-64k\nbs_unaligned=0\nblockalign=4k\nfsync=32\nrandseed=%s\nallrandrepeat=1\n' 20011
	for name in $(echo "$disks" | awk 'NF { print $1 }'); do
		printf '[%s]\nfilename=/dev/%s\n' "$name" "$name"
	done
} >"$OUT/verify.fio"
truncate -s 8M base
for name in $(echo "$disks" | awk '$2 == "raw" { print $1 }'); do
	truncate -s 8M "$name.raw"
done
for name in $(echo "$disks" | awk '$2 == "qcow2" { print $1 }'); do
	qcow2 "$name.qcow2" base 8
done

# boot NAME COLUMN: a guest with all disks as a column says, and with Debian's programs.
boot() {
	vm_boot_with_ext4 "$1" --memory 512M --disk path=/lab/debian.raw,serial=debian,readonly \
		$(echo "$disks" | awk -v column="$2" 'NF { print "--disk path=" $1 "." $2 ",serial=" $1 "," $column }')
	vm_name_disks "$1"
	{
		echo "cat >/tmp/verify.fio <<'END'"
		cat "$OUT/verify.fio"
		echo END
	} >"$RUN/$1.in"
	vm_type "$1" 'mkdir -p /debian && mount -t ext4 -o ro /dev/debian /debian && mount -o bind /dev /debian/dev && mount -t proc proc /debian/proc && mount -t tmpfs tmp /debian/tmp && cp /tmp/verify.fio /debian/tmp && echo "Debian is" mounted'
	vm_wait "$1" '^Debian is mounted' 60
}

boot first 3
# shellcheck disable=SC2016  (the guest expands it)
vm_type first 'chroot /debian sh -c "cd /tmp && fio verify.fio" >/tmp/out 2>&1; echo "fio: $?"; grep err= /tmp/out; echo "fio has" ended'
vm_wait first '^fio has ended' 400
check "what was written reads back as written" test "$(vm_count first '^fio: 0')" = 1
check "by each disk" test "$(vm_count first 'err= 0')" = "$(echo "$disks" | awk 'NF' | wc -l)"
vm_poweroff first

boot second 4
# shellcheck disable=SC2016
vm_type second 'chroot /debian sh -c "cd /tmp && fio --verify_only verify.fio" >/tmp/out 2>&1; echo "fio: $?"; grep err= /tmp/out; echo "fio has" ended'
vm_wait second '^fio has ended' 400
check "another guest reads the same, had another way" test "$(vm_count second '^fio: 0')" = 1
check "by each disk again" test "$(vm_count second 'err= 0')" = "$(echo "$disks" | awk 'NF' | wc -l)"
# And fio does look.
vm_type second 'dd if=/dev/zero of=/dev/uring-direct bs=4k seek=700 count=1 conv=fsync 2>/dev/null; dd if=/dev/zero of=/dev/q-through bs=4k seek=900 count=1 conv=fsync 2>/dev/null; chroot /debian sh -c "cd /tmp && fio --verify_only verify.fio" >/tmp/out 2>&1; echo "fio: $?"; grep err= /tmp/out; echo "fio has" ended'
vm_wait second '^fio has ended' 400 2
check "a block that was changed is found" test "$(vm_count second '^(uring-direct|q-through): .*err=84')" = 2
vm_poweroff second
