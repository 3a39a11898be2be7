# Guests that keep no rules: they write what no driver would to rings, registers and channel programs, on each transport. The VMM goes on, says
# what it saw, and not without end.
# on: x86_64 aarch64 s390x
# seconds: 300
# initrds: adversary.cpio
. /lab/scenarios/lib.sh

mkdir -p "$RUN/guests" && (cd "$RUN/guests" && cpio -id </lab/adversary.cpio) || fail "no guests"
for guest in "$RUN"/guests/*; do
	name=$(basename "$guest")
	transport=${name%-*}
	head -c 1048576 /dev/zero >"$RUN/disk-$name.img"
	case $transport in
	ccw) set -- ;;
	*) set -- --transport "$transport" ;;
	esac
	# Four devices, at the places that it knows.
	vm_start "$name" --memory 64M --kernel "$guest" --disk "path=$RUN/disk-$name.img,format=raw,discard" --rng \
		--vsock "cid=3,path=$RUN/vsock-$name" --balloon=deflate-on-oom,reporting "$@"
	vm_wait "$name" '^.*the adversary is done' 120
	vm_status "$name" 0 60
	lines=$(wc -l <"$OUT/triarch-$name.log")
	check "$name: what was seen was said, in few words ($lines lines)" test "$lines" -ge 1 -a "$lines" -le 200
	check "$name: no panic" sh -c "! grep -i -E 'panick|RUST_BACKTRACE' '$OUT/triarch-$name.log'"
done
