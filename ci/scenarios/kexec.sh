# A guest's kernel starts another one in its own place (kexec), with a command line of its own; triarch sees no reset.
# Not on aarch64: there kexec-tools gives up on the tree that it makes for the second kernel (setup_2nd_dtb failed).
# on: x86_64 s390x
# seconds: 240
# kernels: bookworm
# initrds: initrd-kexec.img
. /lab/scenarios/lib.sh
INITRD=/lab/initrd-kexec.img

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
