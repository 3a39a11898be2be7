# A console device with two consoles and a port: both ways, as clients come and go, with a reader that does not read, and as the terminal.
# on: x86_64 aarch64 s390x
# seconds: 300
# tests: client
. /lab/scenarios/lib.sh

# client NAME: what is typed for NAME goes to the socket of that name, and what comes is NAME's console.
client() {
	[ -e "$RUN/$1.in" ] || mkfifo "$RUN/$1.in"
	/lab/tests/console_client "$RUN/$1" <>"$RUN/$1.in" >>"$OUT/console-$1.log" 2>>"$OUT/client.log" &
	CLIENT=$!
}

vm_boot guest trixie/vmlinuz --console "socket=$RUN/one" --console "file=$OUT/console-two.log" \
	--console "socket=$RUN/agent,name=org.example.agent"
vm_ready guest
client one
vm_type guest 'setsid sh -c "exec sh -i </dev/hvc0 >/dev/hvc0 2>&1" & echo "<shell $((1 + 0))>"'
vm_wait guest '<shell 1>' 60
vm_answers one
kill "$CLIENT"
wait "$CLIENT" 2>/dev/null
client one
vm_answers one
vm_type guest 'echo "second $((6 * 7))" >/dev/hvc1; grep -l . /sys/class/virtio-ports/*/name; cat /sys/class/virtio-ports/*/name'
vm_wait two '^second 42' 60
vm_wait guest '^org.example.agent' 60

# A program that has the port open before anybody is at the host's end, and gets to know of him.
vm_type guest 'port=/dev/$(basename $(dirname $(grep -l agent /sys/class/virtio-ports/*/name))); exec 3<>$port; while sleep 0.2; do read line <&3 && echo "agent says $line" >&3; done & echo "<agent $((1 + 0))>"'
vm_wait guest '<agent 1>' 60
client agent
AGENT=$CLIENT
vm_type agent 'hello'
vm_wait agent '^agent says hello' 60
kill "$AGENT"

vm_poweroff guest
check "the sockets are gone" test ! -e "$RUN/one" -a ! -e "$RUN/agent"

# A reader that does not read holds up the port's writer, and nobody else; it loses nothing.
mkfifo "$RUN/pipe"
sleep 1000 <>"$RUN/pipe" &
SLEEPER=$!
vm_boot slow trixie/vmlinuz --console "null" --console "file=$RUN/pipe,name=slow"
vm_ready slow
vm_type slow 'seq 1 10000 >/tmp/part; for i in $(seq 1 200); do cat /tmp/part; done >/tmp/numbers; md5sum </tmp/numbers; port=/dev/$(basename $(dirname $(grep -l slow /sys/class/virtio-ports/*/name))); (cat /tmp/numbers >$port; echo "<written $((1 + 0))>") &'
sleep 3
vm_answers slow
check "the writer waits" test "$(vm_count slow '<written 1>')" = 0
head -c "$((200 * $(seq 1 10000 | wc -c)))" "$RUN/pipe" >"$OUT/numbers"
vm_wait slow '<written 1>' 60
sum=$(md5sum <"$OUT/numbers")
check "all of it has come" grep -q "^$sum" "$OUT/console-slow.log"
kill "$SLEEPER"
vm_poweroff slow

# The terminal is a console of the device's, over a reboot, too.
APPEND=$(echo "$APPEND" | sed 's/console=[^ ]*/console=hvc0/')
vm_boot terminal trixie/vmlinuz --console stdio
vm_ready terminal
vm_answers terminal
vm_type terminal 'reboot -f; sleep 100'
vm_ready terminal 2
vm_answers terminal
vm_poweroff terminal
refuses "--serial" --kernel "$KERNELS/trixie/vmlinuz" --console stdio --serial pty
