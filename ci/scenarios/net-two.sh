# A guest with two network devices: an interface that was there before, with its MTU, and one with two queues; before and after a reset.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 300
. /lab/scenarios/lib.sh

# works ROUND: the guest reaches the host by both.
works() {
	# Which is eth0 is up to the guest.
	vm_type guest 'for d in eth0 eth1; do [ $(cat /sys/class/net/$d/mtu) = 1400 ] && n=7 || n=8; ip address add 10.$n.0.2/24 dev $d; ip link set $d up; done'
	vm_type guest 'for n in 7 8; do ping -c 3 -i 0.2 10.$n.0.1; done | grep transmitted'
	vm_wait guest '^3 packets transmitted, 3 packets received' 120 $(($1 * 2))
	vm_type guest 'cat /sys/class/net/eth?/mtu | sort | tr "\n" " "; ls -d /sys/class/net/eth?/queues/rx-* | wc -l'
	vm_wait guest '^1400 1500 3' 60 "$1"
}

tunctl -t tap7 >/dev/null && ip link set tap7 mtu 1400 && ip address add 10.7.0.1/24 dev tap7 && ip link set tap7 up || fail "no interface"
vm_boot_with_drivers guest --cpus 2 --net tap=tap7 --net tap,queues=2,pps=1000
new=$(sed -n 's/.*the network interface is //p' "$OUT/triarch-guest.log")
check "the new interface, $new, has an address" ip address add 10.8.0.1/24 dev "$new"
works 1
refuses 'another program has it' --kernel "$KERNELS/trixie/vmlinuz" --net tap=tap7
vm_type guest 'reboot -f'
vm_ready guest 2
vm_type guest 'for m in $(cat /modules/order); do insmod /modules/$m.ko; done; echo drivers "are in"'
vm_wait guest '^drivers are in' 120 2
works 2
vm_poweroff guest
check "what was there stays" test -e /sys/class/net/tap7
check "what was made goes" test ! -e "/sys/class/net/$new"
tunctl -d tap7 >/dev/null
