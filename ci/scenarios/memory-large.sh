# A guest as large as the host holds (on x86_64 that is beyond the hole below 4 GiB).
# on: x86_64 aarch64 s390x
# seconds: 200
. /lab/scenarios/lib.sh

available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
# The host keeps some for itself, for triarch and for page tables.
size=$((available / 1024 - 192))
say "the host has $((available / 1024)) MiB to give, the guest gets $size"
vm_try guest trixie/vmlinuz --memory "${size}M"
memory=$(vm_fact guest memory)
check "it had it all but the kernel's part" test "$memory" -ge $((size * 1024 / 100 * 92))
check "and not more" test "$memory" -le $((size * 1024))
