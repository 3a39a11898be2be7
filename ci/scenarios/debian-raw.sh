# A whole Debian on a raw disk, without the host's page cache: systemd boots it to a login and shuts it down, and its file system is clean.
# on: x86_64
# seconds: 400
# initrds: initrd-debian.img initrd-disk.img debian.raw
. /lab/scenarios/lib.sh

cp /lab/debian.raw "$RUN/root.raw" || fail "no room"
debian_round_trip guest "path=$RUN/root.raw,sync=direct"
