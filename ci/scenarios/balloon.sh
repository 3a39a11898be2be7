# Memory that the guest does without goes back to the host: pages that it reports free, and pages in a balloon.
# on: x86_64 aarch64 s390x
# seconds: 400
. /lab/scenarios/lib.sh

# fill NAME COUNT: the guest fills 128 MiB, for the COUNT'th time.
fill() {
	vm_type "$1" 'mount -t tmpfs -o size=200m files /tmp; dd if=/dev/zero of=/tmp/file bs=1M count=128; echo "<filled $((1 + 0))>"'
	vm_wait "$1" '<filled 1>' 200 "$2"
}

vm_boot_with_drivers guest --balloon=reporting,stats=2 --memory 384M
before=$(vm_resident guest)
fill guest 1
full=$(vm_resident guest)
say "resident: $before MiB before, $full MiB with a file of 128 MiB"
check "the file is in the guest's RAM" test "$full" -ge 128
vm_type guest 'rm /tmp/file; echo "<freed $((1 + 0))>"'
vm_wait guest '<freed 1>' 60
vm_until_resident guest -le $((full - 100))
fill guest 2
vm_answers guest
check "statistics come" grep -q "the guest's memory: .*free [0-9]" "$OUT/triarch-guest.log"
vm_poweroff guest

# Of 384 MiB, 200 are in the balloon: what the guest fills later does not get beyond the rest.
vm_boot_with_drivers small --balloon=size=200M --memory 384M
vm_type small 'until [ "$(sed -n "s/^MemTotal: *\([0-9]*\) kB/\1/p" /proc/meminfo)" -lt 190000 ]; do sleep 1; done; echo "<inflated $((1 + 0))>"'
vm_wait small '<inflated 1>' 120
vm_type small 'mount -t tmpfs -o size=90m files /tmp; dd if=/dev/zero of=/tmp/file bs=1M count=64; echo "<filled $((1 + 0))>"'
vm_wait small '<filled 1>' 200
vm_until_resident small -le 200
vm_answers small
vm_poweroff small
