# Sockets between guest and host, both ways, with Debian's socat at both ends: checksums, half-closed connections, refusals.
# on: x86_64 aarch64 s390x
# seconds: 400
# initrds: initrd-socat.img
. /lab/scenarios/lib.sh
INITRD=/lab/initrd-socat.img

# The host runs the guests' socat, from their initrd.
ROOT=$RUN/root
mkdir -p "$ROOT" || fail "no folder"
(cd "$ROOT" && cpio -i <"$INITRD") || fail "the initrd can't be unpacked"
dd if=/dev/urandom of="$ROOT/sent" bs=64k count=64 2>/dev/null || fail "no file"
sum=$(md5sum <"$ROOT/sent")

# call PORT: sends the guest a file; what comes back goes to standard output.
call() {
	{
		printf 'CONNECT %s\n' "$1"
		cat "$ROOT/sent"
	} | chroot "$ROOT" /bin/socat -t 120 - UNIX-CONNECT:/vm.vsock
}

vm_boot_with_drivers guest --vsock "cid=42,path=$ROOT/vm.vsock"
check "the socket is its user's own" test "$(stat -c %a "$ROOT/vm.vsock")" = 600

call 51 >"$OUT/refused" 2>"$OUT/refused.err"
check "a port that the guest does not serve is refused" test ! -s "$OUT/refused"

vm_type guest 'socat -t 120 VSOCK-LISTEN:52,fork EXEC:"/bin/busybox md5sum" & echo "<serves $((50 + 2))>"'
vm_wait guest '<serves 52>' 60
for round in 1 2 3 4 5; do
	call 52 >"$OUT/answer" 2>"$OUT/answer.err"
	[ -s "$OUT/answer" ] && break
	sleep 1
done
check "the guest was reached" grep -q '^OK 10737418[0-9][0-9]$' "$OUT/answer"
check "what came to the guest is what was sent ($sum)" grep -q "^$sum" "$OUT/answer"
callers=
for round in 1 2 3 4; do
	call 52 >"$OUT/answer-$round" 2>&1 &
	callers="$callers $!"
done
# shellcheck disable=SC2086  (one word a process)
wait $callers
for round in 1 2 3 4; do
	check "several at a time, number $round" grep -q "^$sum" "$OUT/answer-$round"
done

vm_type guest 'echo x | socat - VSOCK-CONNECT:2:1234'
vm_wait guest 'Connection reset by peer' 60
chroot "$ROOT" /bin/socat -t 120 UNIX-LISTEN:/vm.vsock_1234,fork EXEC:"/bin/busybox md5sum" &
SERVICE=$!
until [ -S "$ROOT/vm.vsock_1234" ]; do sleep 0.1; done
vm_type guest 'dd if=/dev/urandom of=/tmp/file bs=64k count=64 2>/dev/null; echo "<own $(md5sum </tmp/file)>"'
vm_type guest 'echo "<got $(socat -t 120 - VSOCK-CONNECT:2:1234 </tmp/file)>"'
vm_wait guest '^<got .*>' 200
own=$(grep '^<own ' "$OUT/console-guest.log" | tail -1 | cut -d' ' -f2)
check "what came to the host is what the guest sent ($own)" grep -q "^<got $own " "$OUT/console-guest.log"
kill "$SERVICE"
vm_poweroff guest
check "the socket is gone" test ! -e "$ROOT/vm.vsock"
