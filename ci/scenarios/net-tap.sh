# A guest on a tap interface that triarch makes: ping, and TCP both ways with segments left to the interface, checksums compared.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 300
. /lab/scenarios/lib.sh
MIB=2

# counted WHAT: a counter of the tap interface.
counted() {
	cat "/sys/class/net/tap0/statistics/$1"
}

# cut_late WAY BYTES PACKETS: packets were longer than Ethernet's, so who received them has cut them, or nobody.
cut_late() {
	check "$1: $(($2 / $3)) bytes a packet" test "$(($2 / $3))" -gt 1600
}

# Input that neither comes nor ends: nc goes when its own input has ended.
mkfifo "$RUN/idle"

vm_boot_with_drivers guest --net tap=tap0,mac=52:54:00:12:34:56
check "the interface has an address" ip address add 10.7.0.1/24 dev tap0
vm_type guest 'ip address add 10.7.0.2/24 dev eth0; ip link set eth0 up; cat /sys/class/net/eth0/address'
vm_wait guest '^52:54:00:12:34:56' 60
vm_type guest 'ping -c 3 -i 0.2 10.7.0.1'
vm_wait guest '^3 packets transmitted, 3 packets received' 60
check "the host reaches the guest" ping -c 2 -i 0.2 10.7.0.2

sent=$(counted rx_bytes) packets=$(counted rx_packets)
nc -l -p 5000 <>"$RUN/idle" >"$RUN/received" &
receiver=$!
vm_type guest "dd if=/dev/urandom of=/tmp/data bs=1M count=$MIB 2>/dev/null; nc 10.7.0.1 5000 </tmp/data; sha256sum </tmp/data"
vm_wait guest '^[0-9a-f]{64} ' 120
wait "$receiver"
check "what the guest sent came" grep -q "^$(sha256sum <"$RUN/received")" "$OUT/console-guest.log"
check "all of it" test "$(stat -c %s "$RUN/received")" = $((MIB << 20))
cut_late "from the guest" $(($(counted rx_bytes) - sent)) $(($(counted rx_packets) - packets))

sent=$(counted tx_bytes) packets=$(counted tx_packets)
vm_type guest 'nc -l -p 5001 >/tmp/data; echo "<$(sha256sum </tmp/data)>"'
dd if=/dev/urandom of="$RUN/data" bs=1M count=$MIB 2>/dev/null
for _ in $(seq 50); do
	nc 10.7.0.2 5001 <"$RUN/data" && break
	sleep 0.2
done
vm_wait guest '^<[0-9a-f]{64} ' 120
check "what the host sent came" grep -q "^<$(sha256sum <"$RUN/data")" "$OUT/console-guest.log"
cut_late "to the guest" $(($(counted tx_bytes) - sent)) $(($(counted tx_packets) - packets))

vm_poweroff guest
check "the interface has gone" test ! -e /sys/class/net/tap0
