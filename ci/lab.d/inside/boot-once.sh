#!/bin/sh
# Boots a guest, shows its console until its init is up, and has it power itself off.
#   boot-once.sh TRIARCH KERNEL INITRD APPEND
# Status: triarch's own (0: the guest powered off), or 1 if the guest did not get that far within 10 minutes.

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
touch "$folder/console"
mkfifo "$folder/keys" || exit 1
(
	"$1" run --kernel "$2" --initrd "$3" --append "$4" <>"$folder/keys" &
	echo $! >"$folder/pid"
	wait $!
	echo $? >"$folder/status"
) | tee "$folder/console" &

waited=0
typed=
while [ ! -e "$folder/status" ]; do
	if [ -z "$typed" ] && grep -q '^triarch-guest: ready' "$folder/console"; then
		typed=yes
		echo 'poweroff -f' >"$folder/keys"
	fi
	if [ "$waited" -ge 600 ]; then
		echo "boot-once.sh: the guest is not up after $waited s" >&2
		kill -9 "$(cat "$folder/pid")"
		exit 1
	fi
	sleep 1
	waited=$((waited + 1))
done
wait
exit "$(cat "$folder/status")"
