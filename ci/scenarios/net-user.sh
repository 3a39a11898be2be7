# A guest on a network of the user's own: an address by DHCP, TCP to the host and by a forwarded port from it, checksums compared; and
# the helper program ends with triarch, killed or not.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 300
# initrds: passt.cpio
. /lab/scenarios/lib.sh
MIB=2

# helpers COUNT: this many of the programs that are the guests' networks run.
helpers() {
	for _ in $(seq 50); do
		running=$(pidof passt passt.avx2 | wc -w)
		[ "$running" = "$1" ] && return
		sleep 0.1
	done
	fail "$running helpers run, not $1"
}

mkfifo "$RUN/idle"
refuses 'install the package passt' --kernel "$KERNELS/trixie/vmlinuz" --net user
(cd / && cpio -id </lab/passt.cpio) || fail "no passt"
ip link set lo up
# A host that is on a network.
tunctl -t up0 >/dev/null && ip address add 10.8.0.2/24 dev up0 && ip link set up0 up && ip route add default via 10.8.0.1 ||
	fail "no network"

vm_boot_with_drivers guest --net user,forward=8022:22
helpers 1
vm_type guest 'ip link set eth0 up; udhcpc -i eth0 -n -q'
vm_wait guest '^leased address=10.8.0.2 gateway=10.8.0.1 dns=10.8.0.1' 60
vm_type guest 'cat /sys/class/net/eth0/mtu'
vm_wait guest '^65520' 60

nc -l -p 5000 <>"$RUN/idle" >"$RUN/received" &
receiver=$!
vm_type guest "dd if=/dev/urandom of=/tmp/data bs=1M count=$MIB 2>/dev/null; nc 10.8.0.1 5000 </tmp/data; sha256sum </tmp/data"
vm_wait guest '^[0-9a-f]{64} ' 120
wait "$receiver"
check "what the guest sent came" grep -q "^$(sha256sum <"$RUN/received")" "$OUT/console-guest.log"
check "all of it" test "$(stat -c %s "$RUN/received")" = $((MIB << 20))

vm_type guest 'nc -ll -p 22 -e sha256sum & until netstat -ltn | grep -q ":22 "; do sleep 0.1; done; echo it "listens"'
vm_wait guest '^it listens' 60
dd if=/dev/urandom of="$RUN/data" bs=1M count=$MIB 2>/dev/null
nc 127.0.0.1 8022 <"$RUN/data" >"$RUN/answer" || fail "a forwarded port"
check "what the host sent came" test "$(cat "$RUN/answer")" = "$(sha256sum <"$RUN/data")"

check "no other address listens" sh -c '! nc -w 2 10.8.0.2 8022 </dev/null'
vm_signal guest KILL
vm_status guest 137
helpers 0
