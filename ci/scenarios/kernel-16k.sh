# The flavour of Debian trixie's kernel with pages of 16 KiB.
# on: aarch64
# kernels: trixie-16k
# seconds: 150
. /lab/scenarios/lib.sh

vm_boot guest trixie-16k/vmlinuz --cpus 2
vm_ready guest
vm_type guest 'echo "<pages: $(($(sed -n "s/^KernelPageSize: *\([0-9]*\) kB/\1/p" /proc/self/smaps | head -1) * 1024))>"'
vm_wait guest '<pages: 16384>' 60
vm_answers guest
vm_poweroff guest
