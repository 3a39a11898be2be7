# A guest of 64 MiB.
# on: x86_64 aarch64 s390x
# seconds: 150
. /lab/scenarios/lib.sh

vm_try guest trixie/vmlinuz --memory 64M
memory=$(vm_fact guest memory)
check "it had at most 64 MiB" test "$memory" -le 65536
check "and not much less than the kernel leaves of that" test "$memory" -ge 16384
