# A raw disk: what the host put there is read, what the guest writes is there, by io_uring and by threads.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 240
. /lab/scenarios/lib.sh

# part FILE FROM COUNT: the checksum of so many KiB of a file.
part() {
	dd if="$1" bs=1024 skip="$2" count="$3" 2>/dev/null | sha256sum | cut -d' ' -f1
}

image=$RUN/disk.raw
dd if=/dev/urandom of="$image" bs=64k count=10 2>/dev/null
truncate -s 4M "$image"
before=$(part "$image" 0 4096)
head=$(part "$image" 0 21)
cp "$image" "$image-2"
vm_boot_with_drivers guest --disk "path=$image,serial=first" --disk "path=$image-2,serial=second,io=threads" --stats "$OUT/stats.json"
vm_name_disks guest
for disk in first second; do
	vm_type guest "sha256sum /dev/$disk"
	vm_wait guest "^$before  /dev/$disk" 120
	# Odd buffers and places; then what is written through the page cache.
	vm_type guest "dd if=/dev/urandom of=/tmp/data bs=1k count=900 2>/dev/null; dd if=/tmp/data of=/dev/$disk bs=7k seek=3 conv=fsync"
	vm_type guest "echo \"sum $disk \$(sha256sum </tmp/data)\""
	vm_wait guest "^sum $disk" 120
done
vm_type guest 'grep -E "virtio|VAI" /proc/interrupts'
vm_poweroff guest
for disk in first second; do
	[ $disk = first ] && file=$image || file=$image-2
	told=$(grep -o "^sum $disk [0-9a-f]*" "$OUT/console-guest.log" | cut -d' ' -f3)
	check "$disk has what the guest wrote" test "$(part "$file" 21 900)" = "$told"
	check "$disk has the rest as before" test "$(part "$file" 0 21) $(part "$file" 921 3000)" = "$head $(part /dev/zero 0 3000)"
done
say "what left the guest: $(grep -E '"(mmio_write|instruction)": [1-9]' "$OUT/stats.json" | tr -d ' ,\n')"
