# A second guest runs beside the first, with a console of its own.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 300
. /lab/scenarios/lib.sh

vm_boot first trixie/vmlinuz --memory 160M
vm_boot second trixie/vmlinuz --memory 192M --cpus 2
vm_ready first
vm_ready second
check "the first has one CPU" test "$(vm_fact first cpus)" = 1
check "the second has two" test "$(vm_fact second cpus)" = 2
vm_type first 'mine=$((111 * 3))'
vm_type second 'mine=$((111 * 5))'
vm_type first 'echo "<mine is $mine>"'
vm_type second 'echo "<mine is $mine>"'
vm_wait first '<mine is 333>' 60
vm_wait second '<mine is 555>' 60
vm_poweroff first
vm_answers second
vm_poweroff second
