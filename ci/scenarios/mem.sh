# Memory that comes and goes: the guest gets 256 MiB more and uses it, gives them back, and what it does not have costs the host nothing.
# on: x86_64 aarch64
# seconds: 400
. /lab/scenarios/lib.sh

# total NAME OPERATOR MIB: until the guest's memory, in MiB, compares so.
total() {
	number=$((${number:-0} + 1))
	vm_type "$1" "until [ \$((\$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) / 1024)) $2 $3 ]; do sleep 1; done; echo \"<total \$(($number + 0))>\""
	vm_wait "$1" "<total $number>" 120
}

# exits NAME: how often KVM had to do with an access to memory of the guest's.
exits() {
	cat /sys/kernel/debug/kvm/"$(cat "$RUN/$1.pid")"-*/mmio_exit* | awk '{ n += $1 } END { print n + 0 }'
}

mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
APPEND="$APPEND memhp_default_state=online_movable"

# Without what comes later, a file of 300 MiB does not fit.
vm_boot_with_drivers guest --name grows --mem max=512M,requested=256M --memory 256M
total guest -ge 400
before=$(vm_resident guest)
vm_type guest 'mount -t tmpfs -o size=320m files /tmp; dd if=/dev/urandom of=/tmp/file bs=1M count=300 && echo "<filled $((1 + 0))>"'
vm_wait guest '<filled 1>' 200
say "resident: $before MiB before, $(vm_resident guest) MiB with a file of 300 MiB"
check "the file is in the guest's memory" test "$(vm_resident guest)" -ge 300
before=$(exits guest)
vm_type guest 'sha256sum </tmp/file >/sum; sha256sum </tmp/file | cmp - /sum && echo "<same $((1 + 0))>"'
vm_wait guest '<same 1>' 120
after=$(exits guest)
say "exits for accesses to memory: $before, and $after when 150000 pages have been read"
check "reading takes none but the console's" test $((after - before)) -lt 20000

# The host takes it back, and gives it again.
vm_type guest 'umount /tmp; echo "<let go $((1 + 0))>"'
vm_wait guest '<let go 1>' 60
check "less is asked for" triarch resize grows 0M
total guest -le 260
vm_until_resident guest -le 256
check "more is asked for" triarch resize grows 256M
total guest -ge 400

# A reboot begins without it, and gets it again.
vm_type guest 'reboot -f'
vm_ready guest 2
check "the machine begins with its RAM" test "$(vm_fact guest memory)" -le 262144
check "the host has back what the guest had before" test "$(vm_resident guest)" -le 256
vm_answers guest
vm_poweroff guest

# Unplugged memory costs nothing, however much there could be.
vm_boot_with_drivers idle --mem max=512M --memory 256M
check "the host has what the guest does not" test "$(vm_resident idle)" -le 256
vm_type idle 'cat /proc/iomem | grep -c "System RAM (virtio_mem)"; echo "<looked $((1 + 0))>"'
vm_wait idle '<looked 1>' 60
total idle -le 260
vm_poweroff idle
