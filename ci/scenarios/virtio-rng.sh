# A virtio entropy device, read by the guest: bytes come, by interrupts, and without exits for doorbells.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 240
. /lab/scenarios/lib.sh

vm_boot_with_drivers guest --rng --stats "$OUT/stats.json"
vm_type guest 'cat /sys/class/misc/hw_random/rng_current'
vm_wait guest '^virtio_rng.0' 60
vm_type guest 'dd if=/dev/hwrng bs=64 count=2000 2>/dev/null | wc -c'
vm_wait guest '^128000' 120
# On s390x, adapters of virtio devices are counted together.
vm_type guest 'grep -E "virtio|VAI" /proc/interrupts'
vm_wait guest ' virtio0|^ *VAI:' 60
interrupts=$(grep -E ' virtio0|^ *VAI:' "$OUT/console-guest.log" | tail -1 | awk '{ print $2 }')
check "interrupts came ($interrupts)" test "$interrupts" -ge 100
vm_poweroff guest
say "what left the guest: $(grep -E '"(mmio_write|instruction)": [1-9]' "$OUT/stats.json" | tr -d ' ,\n')"
