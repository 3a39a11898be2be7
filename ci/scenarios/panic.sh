# A guest that panics is reported: it resets with panic=-1, or stops in a disabled wait on s390x.
# on: x86_64 aarch64 s390x
# seconds: 150
. /lab/scenarios/lib.sh

vm_boot guest trixie/vmlinuz --on-reset exit
vm_ready guest
vm_type guest 'echo c >/proc/sysrq-trigger'
case $ISA in
s390x) vm_status guest 3 ;;
*) vm_status guest 4 ;;
esac
check "its console has the panic" test "$(vm_count guest 'Kernel panic - not syncing')" -ge 1
