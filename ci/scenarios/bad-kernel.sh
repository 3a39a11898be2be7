# What can't boot is refused before any guest runs, with status 1 and a message that names the file or the option.
# on: x86_64 aarch64 s390x
# seconds: 120
. /lab/scenarios/lib.sh

kernel=$KERNELS/trixie/vmlinuz
refuses "$RUN/missing" --kernel "$RUN/missing"
head -c 300000 /dev/urandom >"$RUN/garbage"
refuses "$RUN/garbage" --kernel "$RUN/garbage"
: >"$RUN/empty"
refuses "$RUN/empty" --kernel "$RUN/empty"
refuses "$RUN/no-initrd" --kernel "$kernel" --initrd "$RUN/no-initrd"
refuses memory --kernel "$kernel" --memory 1M
refuses append --kernel "$kernel" --append "$(head -c 100000 /dev/zero | tr '\0' x)"
head -c 70000 "$kernel" >"$RUN/truncated"
refuses "$RUN/truncated" --kernel "$RUN/truncated"

triarch run --no-such-option >"$OUT/usage.out" 2>"$OUT/usage.err" </dev/null
status=$?
check "wrong usage ends with status 2 (it is $status)" test "$status" = 2
