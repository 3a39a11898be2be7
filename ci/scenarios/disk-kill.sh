# kill -9 of triarch in the middle of writes, again and again: what a flush has acknowledged is there, and the file systems are whole.
# on: x86_64 aarch64 s390x
# seconds: 400
# initrds: initrd-disk.img
. /lab/scenarios/lib.sh

cd "$RUN" || fail "no folder"
truncate -s 48M raw.raw base
cp raw.raw direct.raw
qcow2 q-back.qcow2 base 48
qcow2 q-direct.qcow2 base 48
names="raw direct q-back q-direct"
disks="--disk path=raw.raw,serial=raw --disk path=direct.raw,serial=direct,sync=direct"
disks="$disks --disk path=q-back.qcow2,serial=q-back --disk path=q-direct.qcow2,serial=q-direct,sync=direct"
rounds=3
[ "$ISA" = s390x ] && rounds=2

# Writes in a guest: a new file with a flush (fsync), again and again, which is then told; what is older by eight goes.
cat >write <<-'END'
	n=0
	while n=$((n + 1)); do
	for d in raw direct q-back q-direct; do
	f=$1-$n
	head -c $((n * 7919 % 90000 + 1)) /dev/urandom >/tmp/new
	s=$(sha256sum </tmp/new)
	dd if=/tmp/new of=/mnt/$d/$f bs=64k conv=fsync 2>/tmp/err && echo "kept $d $f ${s%% *} ."
	rm -f /mnt/$d/$1-$((n - 8))
	done
	done
END
# Compares what is there with a list.
cat >verify <<-'END'
	bad=0 good=0
	while read -r d f s; do
	got=$(sha256sum </mnt/$d/$f)
	if [ "${got%% *}" = "$s" ]; then good=$((good + 1)); else bad=$((bad + 1)); echo "LOST $d $f"; fi
	done </tmp/list
	echo "verified: $good good, $bad bad"
END

# list: what the guests were told is on their disks (whole lines only, as a last one may be cut off), but for what they removed.
list() {
	cat "$OUT"/console-write-*.log | tr -d '\r' | awk '
		$1 == "kept" && NF == 5 && $5 == "." { sum[$2 " " $3] = $4; split($3, part, "-"); last[$2 " " part[1]] = part[2] }
		END {
			for (file in sum) {
				split(file, word, " "); split(word[2], part, "-")
				# What went with the last one or, if that was not told any more, with the next.
				if (part[2] > last[word[1] " " part[1]] - 7)
					print file, sum[file]
			}
		}' | sort
}

# put NAME FILE: a file for the guest, in /tmp, by the console.
put() {
	{
		echo "cat >/tmp/$2 <<'END'"
		cat "$2"
		echo END
	} >"$RUN/$1.in"
}

# mounted NAME: has all disks checked and mounted.
mounted() {
	vm_name_disks "$1"
	# shellcheck disable=SC2016  (the guest expands it)
	vm_type "$1" 'for d in raw direct q-back q-direct; do /sbin/e2fsck -p /dev/$d; [ $? -le 1 ] || echo "FAILED $d"; /sbin/e2fsck -fn /dev/$d >/tmp/fsck 2>&1 || { cat /tmp/fsck; echo "FAILED $d"; }; mkdir -p /mnt/$d; mount -t ext4 /dev/$d /mnt/$d || echo "FAILED $d"; done; echo "all are" checked'
	vm_wait "$1" '^all are checked' 200
	check "no file system was broken" test "$(vm_count "$1" '^FAILED')" = 0
}

round=0
while [ $round -lt $rounds ]; do
	round=$((round + 1))
	vm=write-$round
	vm_boot_with_ext4 $vm $disks
	if [ $round = 1 ]; then
		vm_name_disks $vm
		# shellcheck disable=SC2016
		vm_type $vm 'for d in raw direct q-back q-direct; do /sbin/mke2fs -q -t ext4 /dev/$d; mkdir -p /mnt/$d; mount -t ext4 /dev/$d /mnt/$d || echo "FAILED $d"; done; echo "all are" mounted'
		vm_wait $vm '^all are mounted' 200
	else
		mounted $vm
	fi
	put $vm write
	vm_type $vm "sh /tmp/write $round"
	vm_wait $vm '^kept ' 200 $((10 + round * 11))
	# Anywhere in what it does then.
	sleep 0.$((round * 3))
	vm_signal $vm KILL
	vm_status $vm 137
done

list >list
say "$(wc -l <list) files must be there, of $(grep -c '^kept' "$OUT"/console-write-1.log) flushes and more"
check "each disk has some" test "$(cut -d' ' -f1 list | sort -u | wc -l)" = "$(echo $names | wc -w)"
vm_boot_with_ext4 reads $disks
mounted reads
put reads verify
put reads list
vm_type reads 'sh /tmp/verify'
vm_wait reads '^verified: ' 200
check "every acknowledged file is there" test "$(vm_count reads "^verified: $(wc -l <list) good, 0 bad")" = 1
# The journals are replayed: from the outside, they are whole and clean.
vm_type reads 'umount /mnt/*; for d in raw direct q-back q-direct; do /sbin/e2fsck -fn /dev/$d && echo "$d is" whole; done; echo "all is" looked at'
vm_wait reads '^all is looked at' 200
check "all are whole" test "$(vm_count reads '^[a-z-]* is whole')" = "$(echo $names | wc -w)"
vm_poweroff reads
