# Directories of the host, shared with the guest: trees with checksums there and back, read-only, over a reboot, and without virtiofsd.
# on: x86_64 aarch64 s390x
# programs: virtiofsd
# seconds: 600
. /lab/scenarios/lib.sh
host_programs "$0"

# tree FOLDER: makes files of many sizes, with their checksums in FOLDER.sums.
tree() {
	mkdir -p "$1/a/b" "$1/c"
	for size in 0 1 4095 4096 70000 300001; do
		head -c $size /dev/urandom >"$1/a/b/$size"
		head -c $size /dev/urandom >"$1/c/$size"
	done
	ln -s ../a/b/4096 "$1/c/link"
	(cd "$1" && find . -type f | sort | xargs sha256sum) >"$1.sums"
}

tree "$RUN/src/there"
cat >"$RUN/src/write" <<-END
	cd /src && cp -r there back && cd back && mv c d && rm d/0 && mkdir e && head -c 500000 /dev/urandom >e/new && chmod 640 e/new
	find . -type f | sort | xargs sha256sum >../back.sums && sync && echo written "whole"
END
cat >"$RUN/src/check" <<-END
	cd /src/\$1 && sha256sum -c ../\$1.sums >/tmp/checked
	echo "checked \$1: \$? \$(grep -c OK /tmp/checked)"
END
mkdir "$RUN/look"
echo "look at this" >"$RUN/look/file"

refuses '/nowhere' --kernel "$KERNELS/trixie/vmlinuz" --share /nowhere,tag=src
refuses 'tag=' --kernel "$KERNELS/trixie/vmlinuz" --share "$RUN/src,tag=a-tag-that-is-longer-than-36-characters"
refuses 'no virtiofsd at' --kernel "$KERNELS/trixie/vmlinuz" --share "tag=src,socket=$RUN/nobody"

vm_boot_with_drivers guest --share "$RUN/src,tag=src" --share "$RUN/look,tag=look,readonly"
mounts='mkdir -p /src /look && mount -t virtiofs src /src && mount -t virtiofs look /look && echo mounts "are there"'
vm_type guest "$mounts"
vm_wait guest '^mounts are there' 60
vm_type guest 'sh /src/check there'
vm_wait guest '^checked there: 0 12' 120
vm_type guest 'sh /src/write'
vm_wait guest '^written whole' 180
check "what the guest wrote is whole" sh -c "cd '$RUN/src/back' && sha256sum -c ../back.sums >/dev/null"
check "all of it" test "$(find "$RUN/src/back" -type f | wc -l)" = 12
check "with its mode" test "$(stat -c %a "$RUN/src/back/e/new")" = 640
vm_type guest 'cat /look/file; echo x >/look/file; echo x >/look/more; echo "look: $?"'
vm_wait guest '^look at this' 30
vm_wait guest 'Read-only file system' 30 2
check "nothing was written where only reading is allowed" test "$(cat "$RUN/look/file")$(ls "$RUN/look")" = "look at thisfile"

vm_type guest 'reboot -f'
vm_ready guest 2
vm_type guest 'for m in $(cat /modules/order); do insmod /modules/$m.ko; done; echo drivers "are in again"'
vm_wait guest '^drivers are in again' 120
vm_type guest "$mounts"
vm_wait guest '^mounts are there' 60 2
vm_type guest 'sh /src/check back'
vm_wait guest '^checked back: 0 12' 120

vm_type guest 'while dd if=/dev/urandom of=/src/endless bs=64k count=100 2>/tmp/why; do echo more; done; head -1 /tmp/why'
vm_wait guest '^more' 60
for process in $(pidof virtiofsd); do
	tr "\\0" " " <"/proc/$process/cmdline" 2>/dev/null | grep -q -- "--shared-dir=$RUN/src " && kill -9 "$process"
done
vm_wait guest 'Transport endpoint is not connected|Socket not connected' 60
vm_answers guest
vm_type guest 'cat /look/file'
vm_wait guest '^look at this' 30 2
check "triarch tells of it" grep -q 'the process behind it has ended' "$OUT/triarch-guest.log"
vm_poweroff guest
sleep 2
check "no virtiofsd is left" test -z "$(pidof virtiofsd)"

virtiofsd=/usr/libexec/virtiofsd
"$virtiofsd" --shared-dir "$RUN/src" --socket-path "$RUN/socket" 2>"$OUT/virtiofsd.log" &
sleep 2
vm_boot_with_drivers other --share "tag=src,socket=$RUN/socket" --share "$RUN/look,tag=look"
vm_type other "$mounts"
vm_wait other '^mounts are there' 60
vm_signal other KILL
sleep 3
check "no virtiofsd is left by a triarch that was killed" test -z "$(pidof virtiofsd)"
