# How results leave a Hercules host, which has no shared folders: as records on an FBA disk, whose file the real machine
# reads while we write (lab.d/stream.py). What comes in is part of the initramfs.
#
# A record is a header of one block, "lab PATH OFFSET LENGTH SIZE", and the blocks with LENGTH bytes of PATH from OFFSET
# on. The header goes last, so that a header stands for data that is there. "lab-end" ends the stream.

DISK_ID=0.0.0120
DISK_BLOCKS=131072

transport_in() {
	. /lab/job.sh
	echo 1 >"/sys/bus/ccw/devices/$DISK_ID/online" || die "no disk for results"
	DISK=/dev/$(ls "/sys/bus/ccw/devices/$DISK_ID/block")
	stream_results &
	STREAMER=$!
}

transport_out() {
	: >/run/stream.stop
	wait "$STREAMER"
}

# interactive COMMAND: runs it with keys that come in as lines of octal numbers, as the console takes whole lines and
# not every character, and with output that leaves as a result.
interactive() {
	mkdir -p /out/run
	mkfifo /run/keys
	stty -echo </dev/console
	while read -r codes; do
		for code in $codes; do
			printf "\\$code"
		done
	done </dev/console 1<>/run/keys &
	sh -c "$1" <>/run/keys >/out/run/output 2>&1
	kill $!
}

put() {
	dd bs=512 conv=sync,notrunc,fsync of="$DISK" "$@" 2>/run/stream.dd || die "$(cat /run/stream.dd)"
}

# stream_file PATH SIZE: emits what is new in a file. The last block may have been partial before, so it goes again.
stream_file() {
	key=$(echo "$1" | tr -c 'A-Za-z0-9\n' _)
	eval "old=\${size_$key:-0}"
	[ "$old" = "$2" ] && return
	[ "$old" -gt "$2" ] && old=0
	eval "size_$key=$2"
	first=$((old / 512))
	blocks=$((($2 + 511) / 512 - first))
	[ $((at + blocks + 2)) -lt "$DISK_BLOCKS" ] || die "the results fill their disk"
	if [ "$blocks" -gt 0 ]; then
		put if="$1" skip="$first" count="$blocks" seek=$((at + 1))
	fi
	echo "lab ${1#/out/} $((first * 512)) $(($2 - first * 512)) $2" | put count=1 seek="$at"
	at=$((at + 1 + blocks))
}

# stream_files FILE...: emits what is new in files.
stream_files() {
	set -- $(wc -c "$@" 2>/dev/null)
	while [ $# -ge 2 ]; do
		case "$2" in
		*.part | total) ;;
		*) [ -f "$2" ] && stream_file "$2" "$1" ;;
		esac
		shift 2
	done
}

# The real machine looks at a scenario's logs when it sees its status: so that goes behind all that was there before it.
stream_pass() {
	ended=$(ls /out/*/status 2>/dev/null)
	stream_files $(ls -d /out/* /out/*/* 2>/dev/null | grep -v '/status$')
	[ -z "$ended" ] || stream_files $ended
}

stream_results() {
	at=0
	until [ -e /run/stream.stop ]; do
		stream_pass
		sleep "$STREAM_SECONDS"
	done
	stream_pass
	echo "lab-end" | put count=1 seek="$at"
}
