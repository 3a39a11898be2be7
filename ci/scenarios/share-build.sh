# A shared directory is worked in: git clones into it, a compiler builds there, and all is as on a file system of the guest's own.
# on: x86_64
# programs: virtiofsd
# initrds: initrd-disk.img debian-tools.raw
# seconds: 400
. /lab/scenarios/lib.sh
host_programs "$0"

mkdir "$RUN/src"
# Made in the guest's RAM: a repository with some history, branches and a hundred files.
cat >"$RUN/src/make-repository" <<-'END'
	set -e
	export HOME=/tmp
	git config --global user.name Guest
	git config --global user.email guest@localhost
	git config --global --add safe.directory '*'
	git init -q -b main /tmp/repository
	cd /tmp/repository
	n=0
	while [ $n -lt 100 ]; do
		n=$((n + 1))
		mkdir -p "lib/$((n % 7))"
		echo "int part_$n(int x) { return x * $n + 1; }" >"lib/$((n % 7))/part_$n.c"
		[ $((n % 20)) = 0 ] && git add . && git commit -q -m "parts up to $n"
	done
	{
		echo '#include <stdio.h>'
		seq 100 | sed 's/.*/int part_&(int);/'
		echo 'int main(void) { int sum = 0;'
		seq 100 | sed 's/.*/sum += part_&(&);/'
		echo 'printf("the sum is %d\n", sum); return 0; }'
	} >main.c
	{
		echo 'OBJECTS = main.o $(patsubst %.c,%.o,$(wildcard lib/*/*.c))'
		echo 'sum: $(OBJECTS)'
		printf '\ttcc -o $@ $(OBJECTS)\n%%.o: %%.c\n\ttcc -c -o $@ $<\n'
	} >Makefile
	ln -s lib/3 three
	git add .
	git commit -q -m 'a program'
	git checkout -q -b other HEAD~2
	git checkout -q main
END
cat >"$RUN/src/build" <<-'END'
	set -e
	export HOME=/tmp
	git clone -q --no-local /tmp/repository "$1/clone"
	cd "$1/clone"
	git fsck --full --strict 2>/dev/null
	make -s -j 2
	./sum
	git status --porcelain | grep -v '\.o$' | grep -v ' sum$' | sed 's/^/CHANGED /'
	git checkout -q other 2>/dev/null
	git checkout -q main
	git gc -q
	git fsck --full --strict 2>/dev/null
	git diff --stat HEAD | sed 's/^/CHANGED /'
	find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum
	echo "built in $1"
END

INITRD=/lab/initrd-disk.img vm_boot_and_load guest --memory 512M --share "$RUN/src,tag=src" --disk path=/lab/debian-tools.raw,readonly
vm_type guest 'mkdir -p /debian && mount -t ext4 -o ro /dev/vda /debian && for d in dev proc; do mount -o bind /$d /debian/$d; done && mount -t tmpfs tmp /debian/tmp && mount -t virtiofs src /debian/srv && echo "Debian is" mounted'
vm_wait guest '^Debian is mounted' 60
vm_type guest 'chroot /debian sh /srv/make-repository && echo "there is a" repository'
vm_wait guest '^there is a repository' 120
for place in /tmp /srv; do
	vm_type guest "chroot /debian sh /srv/build $place"
	vm_wait guest "^built in $place" 200
done
check "both programs run" test "$(vm_count guest '^the sum is 338450')" = 2
check "both trees are the same" test "$(grep -E '^[0-9a-f]{64}  -' "$OUT/console-guest.log" | sort -u | wc -l)" = 1
check "there are two" test "$(vm_count guest '^[0-9a-f]{64}  -')" = 2
check "git finds nothing changed" test "$(vm_count guest '^CHANGED')" = 0
check "the host has the files" test "$(find "$RUN/src/clone/lib" -name '*.o' | wc -l)" = 100
check "and the program" test -x "$RUN/src/clone/sum"
vm_poweroff guest
