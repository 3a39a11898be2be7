# How files come and go on a QEMU host: folders of the real machine. Results are visible there at once.

mount_share() {
	mount -t 9p -o "trans=virtio,version=9p2000.L,msize=524288,$3" "$1" "$2" || die "can't mount $1"
}

transport_in() {
	mount_share lab /lab ro,cache=loose
	mkdir -p /run/kernels
	mount_share kernels /lab/kernels ro,cache=loose
	mount_share out /out cache=none
}

transport_out() {
	:
}

# interactive COMMAND: runs it with the host's console, which is the person's terminal, as its controlling terminal.
interactive() {
	stty rows "$ROWS" cols "$COLUMNS"
	setsid cttyhack sh -c "$1"
}
