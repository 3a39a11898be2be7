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

# limited NAME SECONDS SCRIPT: runs a scenario's script with its own folder and time limit, then ends what it left.
limited() {
	export SCENARIO="$1" OUT="/out/$1" RUN="/run/$1"
	mkdir -p "$OUT" "$RUN"
	began=$(now)
	timeout -k 5 "$2" sh "$3" >"$OUT/output" 2>&1 </dev/null
	status=$?
	# busybox's timeout reports the signal that it sent.
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
