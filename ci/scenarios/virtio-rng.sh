# A virtio entropy device on each transport, read by the guest: bytes come, by interrupts, and without exits for doorbells.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 480
. /lab/scenarios/lib.sh

# try NAME INTERRUPTS ARG...: the interrupts are named so in the guest's list.
try() {
	name=$1 interrupts=$2
	shift 2
	vm_boot_with_drivers "$name" --rng --stats "$OUT/stats-$name.json" "$@"
	vm_type "$name" 'cat /sys/class/misc/hw_random/rng_current'
	vm_wait "$name" '^virtio_rng.0' 60
	vm_type "$name" 'dd if=/dev/hwrng bs=64 count=2000 2>/dev/null | wc -c'
	vm_wait "$name" '^128000' 120
	vm_type "$name" 'grep -E "virtio|VAI" /proc/interrupts; echo "they were" all'
	vm_wait "$name" '^they were all' 60
	line=$(grep -E "$interrupts" "$OUT/console-$name.log" | tail -1)
	number=$(echo "$line" | awk '{ print $2 }')
	check "interrupts came ($line)" test "${number:-0}" -ge 100
	vm_poweroff "$name"
	say "what left the guest: $(grep -E '"(mmio_read|mmio_write|instruction)": [1-9]' "$OUT/stats-$name.json" | tr -d ' ,\n')"
}

case $ISA/$VARIANT in
# Adapters of virtio devices are counted together.
s390x/*) try guest '^ *VAI:' ;;
aarch64/gicv2)
	refuses 'use --transport mmio' --kernel "$KERNELS/trixie/vmlinuz" --rng --transport pci
	# Without a message's taker this is the default.
	try guest ' virtio0'
	;;
*)
	try pci 'MSIX?-.* virtio0-input' --transport pci
	if [ "$ISA" = x86_64 ]; then
		# The console is among the ports here, so these are the devices' own. A driver over mmio has to read why it was
		# interrupted, and to say that it has.
		accesses=$(grep -oE '"mmio_(read|write)": [0-9]+' "$OUT/stats-pci.json" | awk '{ sum += $2 } END { print sum }')
		check "none of the requests left the guest ($accesses accesses)" test "$accesses" -lt 1900
	fi
	try mmio ' virtio0' --transport mmio
	;;
esac
