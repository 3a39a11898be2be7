# A guest whose kernel panics is known to have crashed: by pvpanic (x86_64, aarch64) or a disabled wait (s390x), unless that is turned off.
# on: x86_64 aarch64 s390x
# seconds: 200
. /lab/scenarios/lib.sh

vm_boot_with_drivers guest
case $ISA in
x86_64 | s390x) vm_type guest 'echo c >/proc/sysrq-trigger' ;;
# Debian's kernels for aarch64 are built without its driver: the register is written by hand.
aarch64) vm_type guest 'cat /proc/device-tree/pvpanic@*/compatible; echo; devmem 0x9020000 8; devmem 0x9020000 8 1' ;;
esac
vm_status guest 3
case $ISA in
s390x) check "the user is told" grep -q 'the guest crashed: .*disabled wait' "$OUT/triarch-guest.log" ;;
*) check "the user is told" grep -q 'the guest crashed: .*its kernel has panicked' "$OUT/triarch-guest.log" ;;
esac
case $ISA in
aarch64) check "the guest is told of it" test "$(vm_count guest 'qemu,pvpanic-mmio')" -ge 1 ;;
*) check "its console has the panic" test "$(vm_count guest 'Kernel panic - not syncing')" -ge 1 ;;
esac

# Without it, the guest's kernel does what its command line says: it resets.
[ "$ISA" = x86_64 ] || exit 0
vm_boot_with_drivers silent --pvpanic off --on-reset exit
vm_type silent 'echo c >/proc/sysrq-trigger'
vm_status silent 4
