# A directory shared by a triarch that is run by a user: what the guest's root makes is the user's, and nobody else's files are in reach.
# on: x86_64 aarch64 s390x
# programs: virtiofsd
# seconds: 240
. /lab/scenarios/lib.sh
host_programs "$0"

mkdir "$RUN/src"
echo "root's alone" >"$RUN/src/secret"
chmod 600 "$RUN/src/secret"
chown 1000:1000 "$RUN/src"
chmod 666 /dev/kvm
mkdir -p /etc
echo user:x:1000:1000::/:/bin/sh >/etc/passwd
echo user:x:1000: >/etc/group
# Where steps of lib.sh start triarch, it is the user's.
triarch() {
	start-stop-daemon -S -c user:user -x /lab/triarch -- "$@"
}

vm_boot_with_drivers guest --share "$RUN/src,tag=src"
check "triarch is the user's" sh -c "ps -o user,args | grep -q '^user .*[t]riarch run'"
vm_type guest 'mkdir /src && mount -t virtiofs src /src && cat /src/secret; echo mine >/src/mine && echo "made by $(id -u)"'
vm_wait guest '^made by 0' 60
vm_wait guest 'Permission denied' 10
check "what the guest made is the user's" test "$(stat -c %u "$RUN/src/mine"; cat "$RUN/src/mine")" = "1000
mine"
vm_poweroff guest
sleep 2
check "no virtiofsd is left" test -z "$(pidof virtiofsd)"
