# The uncompressed kernel, by PVH; trixie's and bookworm's.
# on: x86_64
# kernels: trixie bookworm
# seconds: 200
. /lab/scenarios/lib.sh

vm_try trixie trixie/vmlinux --cpus 2
check "it had two CPUs" test "$(vm_fact trixie cpus)" = 2
vm_try bookworm bookworm/vmlinux
check "it was bookworm's kernel" test "$(vm_fact bookworm release | cut -d. -f1,2)" = 6.1
