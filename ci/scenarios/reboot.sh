# A guest that reboots starts again in place, in the same process.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 240
. /lab/scenarios/lib.sh

vm_boot guest trixie/vmlinuz --on-reset reboot --cpus 2
vm_ready guest
vm_type guest 'reboot -f'
vm_ready guest 2
check "both CPUs are back" test "$(vm_fact guest cpus)" = 2
vm_answers guest
vm_poweroff guest
