# A file as the guest's memory: a file system on it without the guest's page cache, kept by the file, and read by two guests at once.
# on: x86_64 aarch64
# initrds: initrd-disk.img
# seconds: 500
. /lab/scenarios/lib.sh

FILE=$RUN/pmem

# One that is made as it is asked for.
vm_boot_with_ext4 writer --pmem "path=$FILE,size=64M" --memory 256M
check "the file is as long as it is to be" test "$(stat -c %s "$FILE")" = 67108864
vm_type writer 'mkdir /mnt; /sbin/mke2fs -q -t ext4 -b 4096 /dev/pmem0 && mount -t ext4 -o dax /dev/pmem0 /mnt && echo "<mounted $((1 + 0))>"'
vm_wait writer '<mounted 1>' 120
vm_type writer 'dd if=/dev/urandom of=/mnt/file bs=1M count=16; echo "this is $((6 * 7)) of many" >/mnt/text; sha256sum </mnt/file >/mnt/sum; sync; echo "<synced $((1 + 0))>"'
vm_wait writer '<synced 1>' 120
check "what the guest wrote is in the file" grep -q 'this is 42 of many' "$FILE"
refuses 'in use' --kernel "$KERNELS/trixie/vmlinuz" --pmem "$FILE"
refuses 'in use' --kernel "$KERNELS/trixie/vmlinuz" --disk "path=$FILE,readonly"
# What was flushed outlives the guest.
vm_signal writer KILL
vm_status writer 137
vm_boot_with_ext4 again --pmem "$FILE" --memory 256M
vm_type again '/sbin/e2fsck -fp /dev/pmem0; echo "<checked $?>"'
vm_wait again '<checked [01]>' 120
vm_type again 'mkdir /mnt; mount -t ext4 /dev/pmem0 /mnt; sha256sum </mnt/file | cmp - /mnt/sum && umount /mnt && echo "<same $((1 + 0))>"'
vm_wait again '<same 1>' 120
vm_poweroff again

for reader in one other; do
	vm_boot_with_ext4 $reader --pmem "$FILE,readonly" --memory 256M
	vm_type $reader 'mkdir /mnt; mount -t ext4 -o ro,noload /dev/pmem0 /mnt && sha256sum </mnt/file | cmp - /mnt/sum && cat /mnt/text; echo "<read $((1 + 0))>"'
	vm_wait $reader '^this is 42 of many' 120
	vm_wait $reader '<read 1>'
done
before=$(sha256sum "$FILE")
if [ "$ISA" = x86_64 ]; then
	# On aarch64, the kernel would not survive it.
	vm_type one 'dd if=/dev/zero of=/dev/pmem0 bs=4096 count=4 conv=fsync; echo "<tried $((1 + 0))>"'
	vm_wait one '<tried 1>' 120
fi
check "guests that may only read have written nothing" test "$(sha256sum "$FILE")" = "$before"
vm_answers one
vm_poweroff one
vm_poweroff other

truncate -s 5M "$RUN/odd"
refuses 'multiple of 2 MiB' --kernel "$KERNELS/trixie/vmlinuz" --pmem "$RUN/odd"
