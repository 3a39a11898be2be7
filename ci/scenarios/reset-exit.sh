# With --on-reset exit a guest's reboot ends triarch with status 4.
# on: x86_64 aarch64 s390x
# seconds: 120
. /lab/scenarios/lib.sh

vm_boot guest trixie/vmlinuz --on-reset exit
vm_ready guest
vm_type guest 'reboot -f'
vm_status guest 4
check "it started once" test "$(vm_count guest "^$READY")" = 1
