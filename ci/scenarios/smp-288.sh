# More vCPUs than eight bits of an APIC id can number; the last is started, and interrupts moved to it: the console's, of the IOAPIC, and
# a PCI device's messages.
# on: x86_64
# seconds: 400
. /lab/scenarios/lib.sh

MORE_APPEND=maxcpus=1 vm_boot_with_drivers guest --cpus 288 --memory 384M --rng --transport pci
cpus=/sys/devices/system/cpu
vm_type guest "echo 1 >$cpus/cpu287/online; echo \"<\$(cat $cpus/present $cpus/online | xargs)>\""
vm_wait guest '<0-287 0,287>' 120
vm_type guest 'cd /proc/irq/$(sed -n "s/^ *\([0-9]*\):.* ttyS0$/\1/p" /proc/interrupts) && echo 287 >smp_affinity_list'
vm_type guest 'echo "<to $(cat effective_affinity_list)>"'
vm_wait guest '<to 287>' 120
vm_answers guest
vm_type guest 'cd /proc/irq/$(sed -n "s/^ *\([0-9]*\):.* virtio0-input$/\1/p" /proc/interrupts) && echo 287 >smp_affinity_list'
vm_type guest 'dd if=/dev/hwrng bs=64 count=500 2>/dev/null | wc -c; echo "<message to $(cat effective_affinity_list)>"'
vm_wait guest '<message to 287>' 120
# Its column of the two that are online.
vm_type guest 'echo "<on 287: $(awk '"'"'/virtio0-input/ { print $3 }'"'"' /proc/interrupts) times>"'
vm_wait guest '<on 287: [1-9][0-9]* times>' 60
vm_poweroff guest
