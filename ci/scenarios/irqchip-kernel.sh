# All interrupt controllers in the kernel, as well as split (the default's opposite comes first).
# on: x86_64
# seconds: 200
. /lab/scenarios/lib.sh

vm_try kernel trixie/vmlinuz --irqchip kernel --cpus 2
check "it had two CPUs" test "$(vm_fact kernel cpus)" = 2
vm_try split trixie/vmlinuz --irqchip split --cpus 2
check "it had two CPUs" test "$(vm_fact split cpus)" = 2
