# A watchdog that is not fed resets the guest, or ends it; one that is fed does nothing, and a guest that stops it is left alone.
# on: x86_64 aarch64 s390x
# seconds: 400
. /lab/scenarios/lib.sh

# s390x's takes 15 seconds or more.
case $ISA in
s390x) TIMEOUT=15 ;;
*) TIMEOUT=4 ;;
esac

vm_boot_with_drivers fed --watchdog
vm_type fed "ls -l /dev/watchdog0; watchdog -F -T $TIMEOUT -t 1 /dev/watchdog0 & echo \"<fed \$((1 + 0))>\""
vm_wait fed '<fed 1>' 60
sleep $((TIMEOUT * 2))
vm_answers fed
# Stopped in good order: busybox's watchdog writes a V when it is told to end.
vm_type fed 'killall watchdog; echo "<stopped $((1 + 0))>"'
vm_wait fed '<stopped 1>' 60
sleep $((TIMEOUT * 2))
vm_answers fed
vm_type fed "watchdog -F -T $TIMEOUT -t 1 /dev/watchdog0 & sleep 2; killall -STOP watchdog; echo \"<hungry \$((1 + 0))>\""
vm_wait fed '<hungry 1>' 60
# The kernel may be in the middle of a line.
vm_type fed 'sleep 1000'
vm_wait fed "$READY" 300 2
vm_answers fed
vm_poweroff fed

vm_boot_with_drivers ends --watchdog=action=exit
vm_type ends "watchdog -F -T $TIMEOUT -t 1000 /dev/watchdog0 & echo \"<hungry \$((1 + 0))>\""
vm_wait ends '<hungry 1>' 60
vm_status ends 3
check "the user is told" grep -q "the guest crashed: .*watchdog" "$OUT/triarch-ends.log"
