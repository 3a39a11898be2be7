# A guest of 64 MiB; on x86_64 of 96 MiB, as Debian's kernels there end beyond 64 MiB (and that is said, not tried).
# on: x86_64 aarch64 s390x
# seconds: 150
. /lab/scenarios/lib.sh

size=64
if [ "$ISA" = x86_64 ]; then
	vm_boot smaller trixie/vmlinuz --memory 64M
	vm_status smaller 1
	check "it says that the kernel does not fit" grep -q "does not fit" "$OUT/triarch-smaller.log"
	size=96
fi
vm_try guest trixie/vmlinuz --memory "${size}M"
memory=$(vm_fact guest memory)
check "it had at most $size MiB" test "$memory" -le $((size * 1024))
check "and not much less than the kernel leaves of that" test "$memory" -ge $((size * 1024 / 4))
