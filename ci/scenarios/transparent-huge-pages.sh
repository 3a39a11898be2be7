# Guest RAM is made of transparent huge pages on a host that Debian has configured.
# on: x86_64 aarch64
# seconds: 120
. /lab/scenarios/lib.sh

vm_boot guest trixie/vmlinuz
vm_ready guest
huge=$(awk '/^ShmemPmdMapped:/ { sum += $2 } END { print sum + 0 }' "/proc/$(cat "$RUN/guest.pid")/smaps")
say "$huge KiB of its RAM are huge pages"
check "most of what a boot touches is" test "$huge" -ge 49152
vm_poweroff guest
