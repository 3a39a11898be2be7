# Two vCPUs.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 120
. /lab/scenarios/lib.sh

vm_try guest trixie/vmlinuz --cpus 2
check "it had two CPUs" test "$(vm_fact guest cpus)" = 2
