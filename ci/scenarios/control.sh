# A machine under a name is listed, held, started anew, given another size, and asked to stop, all by its control socket.
# on: x86_64 aarch64 s390x
# seconds: 400
# initrds: initrd-button.img
. /lab/scenarios/lib.sh

# says PATTERN COMMAND...: `triarch COMMAND...` prints a line that matches.
says() {
	pattern=$1
	shift
	triarch "$@" >"$RUN/said" 2>&1 || fail "triarch $*: $(cat "$RUN/said")"
	say "triarch $*: $(head -5 "$RUN/said")"
	grep -q -E -- "$pattern" "$RUN/said" || fail "triarch $* did not say '$pattern'"
}

# fill COUNT: the guest fills 200 MiB and frees them, for the COUNT'th time.
fill() {
	vm_type web 'dd if=/dev/zero of=/tmp/file bs=1M count=200; rm /tmp/file; echo "<filled $((1 + 0))>"'
	vm_wait web '<filled 1>' 200 "$1"
}

INITRD=/lab/initrd-button.img vm_boot web trixie/vmlinuz --name web --balloon --memory 384M
vm_ready web
says '^web +running .* 384 MiB$' ps
says 'virtio-balloon' info web
triarch events web >"$OUT/events.log" 2>&1 &
# Until it listens, events are not for it.
sleep 3
triarch reset web || fail "it is not reset"
# Behind the prompt that the reset has cut off.
vm_wait web "$READY" 600 2
vm_type web 'for m in $(cat /modules/order); do insmod /modules/$m.ko; done; mount -t tmpfs -o size=250m files /tmp; echo drivers "are in"'
vm_wait web '^drivers are in' 120

vm_type web '(while sleep 0.2; do echo "<tick $((1 + 0))>"; done) &'
vm_wait web '<tick 1>' 60 3
triarch pause web || fail "it is not paused"
held=$(vm_count web '<tick 1>')
sleep 3
check "a guest that is paused does not count" test "$(vm_count web '<tick 1>')" = "$held"
says '^web +paused' ps
triarch pause web 2>"$RUN/refused" && fail "it is paused twice"
grep -q 'paused already' "$RUN/refused" || fail "$(cat "$RUN/refused")"
triarch resume web || fail "it does not go on"
vm_wait web '<tick 1>' 60 $((held + 5))
vm_type web 'kill %1'

fill 1
full=$(vm_resident web)
check "the guest has had 200 MiB" test "$full" -ge 200
says '^virtio0: ' resize web 220M
vm_until_resident web -le 190
says "^virtio0: " resize web 0M
deadline=$(($(cut -d. -f1 /proc/uptime) + 100))
until triarch info web | grep -q 'virtio-balloon, 0 bytes of 0 '; do
	[ "$(cut -d. -f1 /proc/uptime)" -ge "$deadline" ] && fail "the balloon stays: $(triarch info web)"
	sleep 0.5
done
fill 2
check "the guest has its memory back" test "$(vm_resident web)" -ge 200
says '^triarch_exits_total.kind="(mmio_read|pio_write|instruction)". [1-9]' metrics web

if [ "$ISA" != s390x ]; then
	# As a login manager does: reads what the button says, and goes down.
	vm_type web '(dd if=/dev/input/event0 of=/dev/null bs=24 count=1; echo pressed "it is"; poweroff -f) &'
	vm_answers web
fi
triarch stop web || fail "it is not asked"
vm_status web 0
[ "$ISA" = s390x ] || check "the button was heard of" grep -q '^pressed it is' "$OUT/console-web.log"
check "nothing is left of it" test ! -e /run/triarch/web
says '^NAME' ps
for event in reset booted paused resumed resized stopping power-off; do
	check "there was an event $event" grep -q "\"event\":\"$event\"" "$OUT/events.log"
done
