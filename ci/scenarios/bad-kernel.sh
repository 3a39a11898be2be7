# What can't boot is refused before any guest runs, with status 1 and a message that names the file.
# on: x86_64 aarch64 s390x
# seconds: 30
. /lab/scenarios/lib.sh

head -c 300000 /dev/urandom >"$RUN/garbage"
head -c 70000 "$KERNELS/trixie/vmlinuz" >"$RUN/truncated"
for kernel in garbage truncated missing; do
	triarch run --kernel "$RUN/$kernel" --memory 256M >"$OUT/$kernel.out" 2>"$OUT/$kernel.err" </dev/null
	status=$?
	check "$kernel kernel: status 1, not $status" test "$status" = 1
	check "$kernel kernel: the message names it" grep -q "$RUN/$kernel" "$OUT/$kernel.err"
done
triarch run --kernel "$KERNELS/trixie/vmlinuz" --initrd /dev/null/none >"$OUT/initrd.out" 2>"$OUT/initrd.err" </dev/null
status=$?
check "missing initrd: status 1, not $status" test "$status" = 1
check "missing initrd: the message names it" grep -q /dev/null/none "$OUT/initrd.err"
triarch run --no-such-option >"$OUT/usage.out" 2>"$OUT/usage.err" </dev/null
status=$?
check "wrong usage: status 2, not $status" test "$status" = 2
