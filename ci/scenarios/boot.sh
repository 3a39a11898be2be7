# A guest boots to its init, answers a line typed into its console, and powers off.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 120
. /lab/scenarios/lib.sh

vm_try guest trixie/vmlinuz
check "it had one CPU" test "$(vm_fact guest cpus)" = 1
