# More vCPUs than eight bits of an APIC id can number; the last is started, and the console's interrupt moved to it.
# on: x86_64
# seconds: 400
. /lab/scenarios/lib.sh

MORE_APPEND=maxcpus=1 vm_boot guest trixie/vmlinuz --cpus 288 --memory 384M
vm_ready guest
cpus=/sys/devices/system/cpu
vm_type guest "echo 1 >$cpus/cpu287/online; echo \"<\$(cat $cpus/present $cpus/online | xargs)>\""
vm_wait guest '<0-287 0,287>' 120
vm_type guest 'cd /proc/irq/$(sed -n "s/^ *\([0-9]*\):.* ttyS0$/\1/p" /proc/interrupts) && echo 287 >smp_affinity_list'
vm_type guest 'echo "<to $(cat effective_affinity_list)>"'
vm_wait guest '<to 287>' 120
vm_answers guest
vm_poweroff guest
