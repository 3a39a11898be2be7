# ext4 on raw and qcow2 disks, over sync modes: what is synced is there after kill -9, and e2fsck finds nothing.
# on: x86_64 aarch64 s390x
# seconds: 400
# initrds: initrd-disk.img
. /lab/scenarios/lib.sh

cd "$RUN" || fail "no folder"
for name in back direct through base; do
	truncate -s 24M $name
done
qcow2 grows.qcow2 base 24
ls -ls
disks="--disk path=back,serial=back --disk path=direct,serial=direct,sync=direct"
disks="$disks --disk path=through,serial=through,sync=writethrough --disk path=grows.qcow2,serial=grows"

vm_boot_with_ext4 first $disks
vm_name_disks first
# shellcheck disable=SC2016  (the guest expands them)
vm_type first 'for d in back direct through grows; do /sbin/mke2fs -q -t ext4 /dev/$d && mkdir -p /mnt/$d && mount -t ext4 /dev/$d /mnt/$d || echo "FAILED $d"; done; echo "all are" mounted'
vm_wait first '^all are mounted' 200
check "all disks were" test "$(vm_count first '^FAILED')" = 0
# What is synced, and what is not: the guest is killed while it writes.
vm_type first 'dd if=/dev/urandom of=/data bs=64k count=40 2>/dev/null; for d in back direct through grows; do cp /data /mnt/$d/synced; done; sync; echo "the sum is" $(sha256sum </data)'
vm_wait first '^the sum is' 200
sum=$(grep -o '^the sum is [0-9a-f]*' "$OUT/console-first.log" | cut -d' ' -f4)
vm_type first 'n=0; while n=$((n+1)); do for d in back direct through grows; do head -c 100000 /dev/urandom >/mnt/$d/more-$((n % 30)); done; [ $((n % 5)) = 4 ] && sync; [ $n = 12 ] && echo "busy" writing; done'
vm_wait first '^busy writing' 200
vm_signal first KILL
vm_status first 137

vm_boot_with_ext4 second $disks
vm_name_disks second
# The journal is replayed, and what is left is whole.
vm_type second 'for d in back direct through grows; do /sbin/e2fsck -p /dev/$d; [ $? -le 1 ] || echo "FAILED $d"; /sbin/e2fsck -fn /dev/$d || echo "FAILED $d"; mkdir -p /mnt/$d; mount -t ext4 /dev/$d /mnt/$d || echo "FAILED $d"; done; echo "all are" checked'
vm_wait second '^all are checked' 200
vm_type second 'for d in back direct through grows; do echo "$d has" $(sha256sum </mnt/$d/synced); done'
for disk in back direct through grows; do
	vm_wait second "^$disk has $sum" 60
done
check "no file system was broken" test "$(vm_count second '^FAILED')" = 0
# What the guest does not need goes back to the host.
full=$(du -k back | cut -f1)
vm_type second 'rm /mnt/back/* /mnt/grows/*; sync; for d in back grows; do fstrim /mnt/$d || echo "FAILED $d"; done; umount /mnt/*; echo "all is" trimmed'
vm_wait second '^all is trimmed' 120
check "the disk was trimmed ($full KiB, now $(du -k back | cut -f1))" test "$(du -k back | cut -f1)" -lt $((full - 2000))
check "no trim failed" test "$(vm_count second '^FAILED')" = 0
vm_poweroff second
ls -ls
check "nothing was written to the backing file" test "$(du -k base | cut -f1)" = 0
