# Eight vCPUs, many more than the host has.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 300
. /lab/scenarios/lib.sh

vm_try guest trixie/vmlinuz --cpus 8
check "it had eight CPUs" test "$(vm_fact guest cpus)" = 8
