# What scenarios are made of. A scenario is a POSIX shell script that runs on an emulated host, starts guests with
# triarch, and passes if it reaches its end: every step here that does not find what it expects fails the scenario.
#
# Given by the lab: ISA, VARIANT, APPEND (a guest's command line), OUT (files that the real machine gets to see), and
# RUN (a folder for the scenario's own use). /lab has triarch, kernels/NAME/vmlinuz, initrd.img, and modules.img to go behind it.

KERNELS=/lab/kernels
INITRD=/lab/initrd.img
# Up to its last word, so that half a line does not match.
READY='triarch-guest: ready .* up'

say() {
	echo "[$(cut -d' ' -f1 /proc/uptime)] $*"
}

# fail WORDS...: ends the scenario.
fail() {
	say "FAILED: $*"
	exit 1
}

# check WHAT COMMAND...: the command must succeed.
check() {
	check_what=$1
	shift
	"$@" || fail "$check_what ($* -> status $?)"
	say "ok: $check_what"
}

end_guests() {
	for pid_file in "$RUN"/*.pid; do
		[ -e "$pid_file" ] && [ ! -e "${pid_file%.pid}.status" ] && kill -9 "$(cat "$pid_file")" 2>/dev/null
	done
}
trap end_guests EXIT
trap 'exit 143' TERM

# host_programs SCRIPT: runs the script where /lab/host has been unpacked: in a mount namespace whose root is a mount like any other, as
# programs that confine themselves need it. The emulated host's own is none.
host_programs() {
	[ "${ROOT_OF_PROGRAMS:-}" ] && return
	export ROOT_OF_PROGRAMS=/root-of-programs
	mkdir -p "$ROOT_OF_PROGRAMS"
	# shellcheck disable=SC2016  (the inner shell's)
	exec unshare -m sh -c '
		root=$ROOT_OF_PROGRAMS
		mount -t tmpfs tmpfs "$root" && cp -r /bin /lab/host/* "$root" || exit 1
		[ -e "$root/lib64" ] || ln -s lib "$root/lib64"
		for folder in proc sys dev lab lab/kernels out run tmp; do
			mkdir -p "$root/$folder" && mount -o bind "/$folder" "$root/$folder" || exit 1
		done
		cd "$root" && mount -o move . / && exec chroot . sh "$1"
	' sh "$1"
}

# vm_start NAME ARG...: `triarch run ARG...` in the background, with its console in $OUT/console-NAME.log and its own
# messages in $OUT/triarch-NAME.log.
vm_start() {
	vm=$1
	shift
	say "$vm: triarch run $*"
	[ -e "$RUN/$vm.in" ] && fail "there is a guest $vm already"
	mkfifo "$RUN/$vm.in" || fail "no fifo for $vm"
	(
		# Open for writing too, so that the console's input doesn't end between two lines.
		triarch run "$@" <>"$RUN/$vm.in" >"$OUT/console-$vm.log" 2>"$OUT/triarch-$vm.log" &
		echo $! >"$RUN/$vm.pid"
		wait $!
		echo $? >"$RUN/$vm.part" && mv "$RUN/$vm.part" "$RUN/$vm.status"
	) 2>"$RUN/$vm.shell" &
}

# vm_boot NAME KERNEL ARG...: vm_start of a kernel with the lab's initrd; KERNEL is a path, below /lab/kernels if relative.
# MORE_APPEND is added to the guest's command line.
vm_boot() {
	vm=$1
	case $2 in
	/*) kernel=$2 ;;
	*) kernel=$KERNELS/$2 ;;
	esac
	shift 2
	case " $* " in
	*" --memory "*) ;;
	*) set -- --memory 256M "$@" ;;
	esac
	vm_start "$vm" --kernel "$kernel" --initrd "$INITRD" --append "$APPEND${MORE_APPEND:+ $MORE_APPEND}" "$@"
}

# vm_boot_with_drivers NAME ARG...: vm_boot of trixie's kernel, with its modules for virtio devices behind INITRD, loaded.
vm_boot_with_drivers() {
	[ -e "$RUN/drivers.img" ] || cat "$INITRD" /lab/modules.img >"$RUN/drivers.img" || fail "no initrd"
	INITRD=$RUN/drivers.img vm_boot_and_load "$@"
}

# vm_boot_with_ext4 NAME ARG...: the same, with ext4, mke2fs and e2fsck besides; for scenarios with `initrds: initrd-disk.img`.
vm_boot_with_ext4() {
	INITRD=/lab/initrd-disk.img vm_boot_and_load "$@"
}

# vm_boot_and_load NAME ARG...: vm_boot of trixie's kernel; loads the modules that its initrd has.
vm_boot_and_load() {
	vm=$1
	shift
	vm_boot "$vm" trixie/vmlinuz "$@"
	vm_ready "$vm"
	vm_type "$vm" 'for m in $(cat /modules/order); do insmod /modules/$m.ko; done; echo drivers "are in"'
	vm_wait "$vm" '^drivers are in' 120
}

# vm_name_disks NAME: makes /dev/SERIAL of each disk, as s390x finds disks in any order.
vm_name_disks() {
	# shellcheck disable=SC2016  (the guest expands it)
	vm_type "$1" 'for d in /sys/block/vd*; do ln -s ${d##*/} /dev/$(cat $d/serial); done; echo disks "have names"'
	vm_wait "$1" '^disks have names' 60
}

# number BYTES NUMBER: a big-endian number for a file.
number() {
	printf "%0$(($1 * 2))x" "$2" | sed 's/../\\x&/g'
}

# qcow2 FILE BACKING MIB: an image of this size over a raw file in its folder. Its clusters are header, refcount table, refcounts, L1.
qcow2() {
	name_at=$((104 + 8 + 8 + 8))
	truncate -s 256K "$1"
	{
		printf 'QFI\373'
		# Version, backing file's name, cluster bits, size, encryption, L1, refcounts, snapshots, features.
		printf "$(number 4 3)$(number 8 $name_at)$(number 4 ${#2})$(number 4 16)$(number 8 $(($3 << 20)))$(number 4 0)"
		printf "$(number 4 1)$(number 8 196608)$(number 8 65536)$(number 4 1)$(number 4 0)$(number 8 0)"
		printf "$(number 8 0)$(number 8 0)$(number 8 0)$(number 4 4)$(number 4 104)"
		# The backing file's format, and the end of extensions.
		printf "$(number 4 3799591626)$(number 4 3)raw\\0\\0\\0\\0\\0$(number 8 0)$2"
	} | dd of="$1" conv=notrunc 2>/dev/null
	printf "$(number 8 131072)" | dd of="$1" bs=65536 seek=1 conv=notrunc 2>/dev/null
	printf "$(number 8 281479271743489)" | dd of="$1" bs=65536 seek=2 conv=notrunc 2>/dev/null
}

# debian_round_trip NAME DISK: boots Debian from a disk (root=/dev/vda), logs in at the console, and shuts it down; then another guest looks
# at what it left. For scenarios with `initrds: initrd-debian.img initrd-disk.img debian.raw`.
debian_round_trip() {
	vm_start "$1" --kernel "$KERNELS/trixie/vmlinuz" --initrd /lab/initrd-debian.img --memory 512M --disk "$2" --on-reset exit \
		--append "$APPEND root=/dev/vda ro systemd.log_color=0"
	vm_wait "$1" 'guest login: ' 300
	vm_type "$1" root
	vm_wait "$1" 'root@guest:' 60
	# shellcheck disable=SC2016  (the guest expands it)
	vm_type "$1" 'until s=$(systemctl is-system-running) || [ "$s" = degraded ]; do sleep 1; done; . /etc/os-release; echo "this is $PRETTY_NAME, $s, of $(dpkg-query -f x -W | wc -c) packages"'
	vm_wait "$1" '^this is Debian GNU/Linux 13 \(trixie\), running, of [0-9]{3} packages' 60
	# Not synced: the shutdown is to see to it.
	vm_type "$1" 'findmnt -n -o SOURCE,FSTYPE,OPTIONS /; seq 100000 >/root/left; echo "left" behind; systemctl poweroff'
	vm_wait "$1" '^left behind' 60
	vm_status "$1" 0 200
	check "systemd ended in order" test "$(vm_count "$1" 'Reached target .*poweroff.target')" = 1
	check "no unit failed" test "$(vm_count "$1" "^\[FAILED\]")" = 0
	check "no I/O error" test "$(vm_count "$1" 'I/O error|EXT4-fs (error|warning)')" = 0

	vm_boot_with_ext4 looks --disk "$2"
	# shellcheck disable=SC2016
	vm_type looks '/sbin/e2fsck -n /dev/vda; /sbin/e2fsck -fn /dev/vda && mkdir -p /mnt && mount -t ext4 -o ro /dev/vda /mnt && echo "what was left:" $(sha256sum </mnt/root/left); echo all "looked at"'
	vm_wait looks '^all looked at' 200
	check "it was unmounted" test "$(vm_count looks '^debian: clean, ')" = 1
	check "what it wrote is there" test "$(vm_count looks "^what was left: $(seq 100000 | sha256sum | cut -d' ' -f1)")" = 1
	vm_poweroff looks
}

# vm_count NAME PATTERN: how many console lines match.
vm_count() {
	grep -c -E -- "$2" "$OUT/console-$1.log" 2>/dev/null || true
}

# vm_wait NAME PATTERN [SECONDS [COUNT]]: until COUNT (1) lines of the console match.
vm_wait() {
	vm=$1 pattern=$2 count=${4:-1}
	deadline=$(($(cut -d. -f1 /proc/uptime) + ${3:-600}))
	while :; do
		ended=
		[ -e "$RUN/$vm.status" ] && ended=$(cat "$RUN/$vm.status")
		found=$(vm_count "$vm" "$pattern")
		[ "${found:-0}" -ge "$count" ] && break
		[ -n "$ended" ] && fail "$vm ended with status $ended and said '$pattern' ${found:-0} times, not $count"
		[ "$(cut -d. -f1 /proc/uptime)" -ge "$deadline" ] && fail "$vm did not say '$pattern' $count times in time"
		sleep 0.3
	done
	say "$vm: said '$pattern'"
}

# vm_ready NAME [COUNT]: until the guest's init is up, for the COUNT'th time.
vm_ready() {
	vm_wait "$1" "^$READY" 600 "${2:-1}"
	grep "^$READY" "$OUT/console-$1.log" | tail -1
}

# vm_fact NAME FACT: what the guest's init found: cpus, memory (KiB), machine or release.
vm_fact() {
	grep "^$READY" "$OUT/console-$1.log" | tail -1 | tr -d '\r' | tr ' ' '\n' | sed -n "s/^$2=//p" | sed 's/K$//'
}

# vm_type NAME TEXT: types a line into the console.
vm_type() {
	say "$1: typing: $2"
	printf '%s\n' "$2" >"$RUN/$1.in" || fail "can't type into $1"
}

# vm_resident NAME: MiB of the guest's RAM that the host has.
vm_resident() {
	awk '/^RssShmem:/ { print int($2 / 1024) }' "/proc/$(cat "$RUN/$1.pid")/status"
}

# vm_until_resident NAME OPERATOR MIB: reports come after two seconds or more.
vm_until_resident() {
	deadline=$(($(cut -d. -f1 /proc/uptime) + 100))
	until [ "$(vm_resident "$1")" "$2" "$3" ]; do
		[ "$(cut -d. -f1 /proc/uptime)" -ge "$deadline" ] && fail "$1 has $(vm_resident "$1") MiB, not $2 $3"
		sleep 0.5
	done
	say "ok: $1 has $(vm_resident "$1") MiB, which is $2 $3"
}

# refuses WHAT ARG...: `triarch run ARG...` must end with status 1 before a guest runs, and name WHAT in its message.
refuses() {
	what=$1
	shift
	timeout 20 triarch run "$@" >"$OUT/refused.out" 2>"$OUT/refused.err" </dev/null
	status=$?
	say "triarch run $*: status $status: $(cat "$OUT/refused.err")" | cut -c1-300
	[ "$status" = 1 ] || fail "status $status instead of 1 (143: it ran on)"
	grep -q -- "$what" "$OUT/refused.err" || fail "its message does not name $what"
	[ -s "$OUT/refused.out" ] && fail "a guest ran"
	return 0
}

# vm_answers NAME: types a line whose answer is not among what was typed, so that an echo is no answer.
vm_answers() {
	number=$(($(cut -d. -f1 /proc/uptime) + 1000))
	vm_type "$1" "echo \"<\$(($number * 7)) \$(hostname)>\""
	vm_wait "$1" "<$((number * 7)) guest>" 120
}

# vm_status NAME EXPECTED [SECONDS]: until triarch has ended, with that exit status.
vm_status() {
	deadline=$(($(cut -d. -f1 /proc/uptime) + ${3:-120}))
	until [ -e "$RUN/$1.status" ]; do
		[ "$(cut -d. -f1 /proc/uptime)" -ge "$deadline" ] && fail "$1 did not end in time"
		sleep 0.2
	done
	status=$(cat "$RUN/$1.status")
	[ "$status" = "$2" ] || fail "$1 ended with status $status, not $2: $(tail -3 "$OUT/triarch-$1.log")"
	say "ok: $1 ended with status $status"
}

# vm_signal NAME SIGNAL: sends triarch a signal.
vm_signal() {
	say "$1: SIG$2"
	kill "-$2" "$(cat "$RUN/$1.pid")" || fail "can't signal $1"
}

# vm_poweroff NAME: the guest powers itself off and triarch says so.
vm_poweroff() {
	vm_type "$1" 'poweroff -f'
	vm_status "$1" 0
}

# vm_try NAME KERNEL ARG...: boots, checks the facts of the machine, has a line answered, and powers off.
vm_try() {
	vm=$1
	vm_boot "$@"
	vm_ready "$vm"
	check "the guest's machine is $ISA" test "$(vm_fact "$vm" machine)" = "$ISA"
	vm_answers "$vm"
	vm_poweroff "$vm"
}
