# A guest whose RAM is made of the host's huge pages; too few of them are told before it runs.
# on: x86_64 aarch64 s390x
# seconds: 120
. /lab/scenarios/lib.sh

case $ISA in
s390x) size=1M kib=1024 pages=128 ;;
*) size=2M kib=2048 pages=64 ;;
esac
pool=/sys/kernel/mm/hugepages/hugepages-${kib}kB
trap 'end_guests; echo 0 >$pool/nr_hugepages' EXIT

refuses "$pages huge pages must be free" --kernel "$KERNELS/trixie/vmlinuz" --memory "128M,hugepages=$size"
if [ "$ISA" = s390x ]; then
	say "no guest of huge pages here: under Hercules it spins early in its boot (docs/testing.md)"
	exit 0
fi
echo $pages >"$pool/nr_hugepages"
check "the host has $pages huge pages" test "$(cat "$pool/nr_hugepages")" = $pages
vm_boot guest trixie/vmlinuz --memory "128M,hugepages=$size"
vm_ready guest
free=$(cat "$pool/free_hugepages")
check "the guest's RAM is made of them ($free are free)" test "$free" -lt $((pages / 2))
vm_answers guest
vm_poweroff guest
check "all of them are given back" test "$(cat "$pool/free_hugepages")" = $pages
