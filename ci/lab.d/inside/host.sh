# Runs on the emulated host once /lab and /out are there; /lab/job.sh says what for.
#   MODE=batch  runs each of $SCENARIOS ("name:seconds ..."); results in /out/NAME
#   MODE=run    runs /lab/run.sh; output in /out/run/output
#   MODE=shell  runs $START, or else a shell, for the person at the terminal

export ISA VARIANT APPEND CONSOLE
PATH=/lab:/bin:/sbin:/usr/bin:/usr/sbin
export PATH
. /lab/job.sh

now() {
	cut -d' ' -f1 /proc/uptime
}

# end_after SECONDS PID: ends a process when it has had its time. By the clock: busybox's timeout counts naps of a second,
# which take much longer on a busy host, and then the real machine gives the whole host up first.
end_after() {
	read -r up idle </proc/uptime
	deadline=$((${up%.*} + $1))
	while [ "${up%.*}" -lt "$deadline" ]; do
		sleep 1
		read -r up idle </proc/uptime
	done
	kill "$2"
	sleep 5
	kill -9 "$2"
}

# limited NAME SECONDS SCRIPT: runs a scenario's script with its own folder and time limit, then ends what it left.
limited() {
	export SCENARIO="$1" OUT="/out/$1" RUN="/run/$1"
	mkdir -p "$OUT" "$RUN"
	began=$(now)
	sh "$3" >"$OUT/output" 2>&1 </dev/null &
	script=$!
	end_after "$2" "$script" &
	wait "$script"
	status=$?
	kill $!
	if [ "$status" = 143 ] || [ "$status" = 137 ]; then
		echo "lab: stopped after the limit of $2 s" >>"$OUT/output"
		status=124
	fi
	killall -q -9 triarch
	echo "$status $began $(now)" >"$OUT/status.part"
	mv "$OUT/status.part" "$OUT/status"
	rm -rf "$RUN"
}

case "$MODE" in
batch)
	for entry in $SCENARIOS; do
		name=${entry%:*}
		echo "lab-host: scenario $name"
		limited "$name" "${entry#*:}" "/lab/scenarios/$name.sh"
	done
	;;
run)
	limited run "$LIMIT" /lab/run.sh
	;;
shell)
	cd /lab
	interactive "${START:-cat /lab/welcome; exec sh -i}"
	;;
*)
	die "job.sh asks for an unknown mode '$MODE'"
	;;
esac
