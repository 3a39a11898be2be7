# The console as a socket that one client after another talks through, as a pseudo-terminal, and as a file.
# on: x86_64 aarch64 s390x
# seconds: 300
# tests: client
. /lab/scenarios/lib.sh

# What is typed reaches the client and not triarch, which reads no standard input here.
client() {
	/lab/tests/console_client "$RUN/socket" <>"$RUN/socket.in" >>"$OUT/console-socket.log" 2>>"$OUT/client.log" &
	CLIENT=$!
}

# until_there WHAT COMMAND...
until_there() {
	what=$1
	shift
	for _ in $(seq 100); do
		"$@" && return
		sleep 0.1
	done
	fail "$what does not come"
}

vm_boot socket trixie/vmlinuz --serial "socket=$RUN/socket"
until_there "the socket" test -S "$RUN/socket"
client
vm_ready socket
vm_answers socket
kill "$CLIENT"
wait "$CLIENT" 2>/dev/null
client
vm_answers socket
vm_poweroff socket
check "the socket is gone" test ! -e "$RUN/socket"

vm_boot pty trixie/vmlinuz --serial pty
until_there "the name of the pseudo-terminal" grep -q 'the console is /dev/pts/' "$OUT/triarch-pty.log"
pty=$(sed -n 's/.*the console is //p' "$OUT/triarch-pty.log")
nc -f "$pty" <>"$RUN/pty.in" >>"$OUT/console-pty.log" &
vm_ready pty
vm_answers pty
vm_poweroff pty

vm_boot file trixie/vmlinuz --serial "file=$OUT/console-file.log"
vm_ready file
kill -9 "$(cat "$RUN/file.pid")"
vm_status file 137
