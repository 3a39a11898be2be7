# Debian bookworm's kernel, 6.1.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# kernels: bookworm
# seconds: 120
. /lab/scenarios/lib.sh

vm_try guest bookworm/vmlinuz --cpus 2
check "it was that kernel" test "$(vm_fact guest release | cut -d. -f1,2)" = 6.1
