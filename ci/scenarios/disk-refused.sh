# Disks that may not be used, or can't: an image of another guest, one that can't be written, a host's disk that is full.
# on: x86_64 aarch64 s390x
# seconds: 240
. /lab/scenarios/lib.sh

image=$RUN/disk.raw
dd if=/dev/urandom of="$image" bs=64k count=4 2>/dev/null
before=$(sha256sum <"$image")
mkdir "$RUN/small" && mount -t tmpfs -o size=1M tmpfs "$RUN/small" || fail "no small file system"
truncate -s 4M "$RUN/small/sparse.raw"
truncate -s 4M "$RUN/held.raw"
vm_boot_with_drivers guest --disk "path=$image,serial=fixed,readonly" \
	--disk "path=$RUN/small/sparse.raw,serial=small" --disk "path=$RUN/held.raw,serial=held,iops=20"
vm_name_disks guest

kernel=$KERNELS/trixie/vmlinuz
refuses 'small/sparse.raw": is in use by another guest' --kernel "$kernel" --disk "path=$RUN/small/sparse.raw"
refuses 'small/sparse.raw": is in use by another guest' --kernel "$kernel" --disk "path=$RUN/small/sparse.raw,readonly"
refuses 'disk.raw": is in use by another guest' --kernel "$kernel" --disk "path=$image"
refuses 'absent": can.t be opened' --kernel "$kernel" --disk "path=$RUN/absent"

vm_type guest 'dd if=/dev/zero of=/dev/fixed bs=4k count=1; dd if=/dev/fixed of=/dev/null bs=64k 2>/dev/null && echo "fixed is" read'
vm_wait guest 'Operation not permitted|Read-only' 60
vm_wait guest '^fixed is read' 60
# More than there is room for: the host's error reaches the guest, which lives on.
vm_type guest 'dd if=/dev/urandom of=/dev/small bs=64k count=48 conv=fsync || echo "small is" full'
vm_wait guest '^small is full' 120
vm_wait guest 'I/O error' 10
check "triarch says why" grep -q 'sparse.raw: a write at byte .* failed: No space left' "$OUT/triarch-guest.log"
check "and not for each request ($(wc -l <"$OUT/triarch-guest.log") lines)" test "$(wc -l <"$OUT/triarch-guest.log")" -lt 10
vm_type guest 'dd if=/dev/small of=/dev/null bs=64k && echo "small is" read'
vm_wait guest '^small is read' 120
# 60 requests, of which some may come at once.
vm_type guest 'begin=$(cut -d. -f1 /proc/uptime); dd if=/dev/held of=/dev/null bs=4k count=60 iflag=direct; echo "it took" $(($(cut -d. -f1 /proc/uptime) - begin)) s'
vm_wait guest '^it took [2-9]' 60
vm_poweroff guest
check "the read-only image is as before" test "$(sha256sum <"$image")" = "$before"
umount "$RUN/small"
