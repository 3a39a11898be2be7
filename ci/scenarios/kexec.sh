# A guest's kernel starts another one in its own place (kexec), with a command line of its own; triarch sees no reset.
# Not with an ITS: Linux leaves its LPI tables where they are, and without EFI it can't tell the second kernel where that is.
# on: x86_64 aarch64/gicv2 s390x
# seconds: 240
# kernels: bookworm
# initrds: initrd-kexec.img
. /lab/scenarios/lib.sh
INITRD=/lab/initrd-kexec.img
# With it, an aarch64 kernel leaves the seed in its device tree, and kexec-tools takes only a tree whose seed was used.
APPEND=$(echo "$APPEND" | sed 's/nokaslr //')

vm_boot guest bookworm/vmlinuz --cpus 2 --on-reset exit
vm_ready guest
# By whichever of the two system calls the kernel has.
vm_type guest 'kexec -a --load /boot/vmlinuz --initrd=/boot/initrd.img --command-line="$(cat /proc/cmdline) lab.kernel=second"'
vm_type guest 'echo "<loaded: $(cat /sys/kernel/kexec_loaded)>"'
vm_wait guest '<loaded: 1>' 120
vm_type guest 'kexec --exec'
vm_ready guest 2
check "both CPUs are back" test "$(vm_fact guest cpus)" = 2
vm_type guest 'echo "<second: $(tr " " "\n" </proc/cmdline | grep -c lab.kernel=second)>"'
vm_wait guest '<second: 1>' 120
vm_answers guest
vm_poweroff guest
