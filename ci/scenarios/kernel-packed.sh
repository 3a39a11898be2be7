# A kernel packed with gzip, the uncompressed one where there is one, which triarch unpacks itself.
# on: x86_64 aarch64 s390x
# seconds: 300
. /lab/scenarios/lib.sh

image=$KERNELS/trixie/vmlinux
[ -e "$image" ] || image=$KERNELS/trixie/vmlinuz
gzip -1 -c "$image" >"$RUN/kernel.gz" || fail "can't pack $image"
say "$(wc -c <"$image") bytes packed to $(wc -c <"$RUN/kernel.gz")"
vm_try guest "$RUN/kernel.gz"
