# Devices behind subchannels as the guest sees them, and one that goes offline and comes back.
# on: s390x
# seconds: 240
. /lab/scenarios/lib.sh

vm_boot_with_drivers guest --rng
vm_type guest 'cd /sys/bus/ccw/devices/0.0.0000; echo cutype $(cat cutype) $(cat devtype) $(cat online)'
vm_wait guest '^cutype 3832/04 n/a 1' 60
vm_type guest 'echo paths $(cat ../pimpampom) $(cat /sys/devices/css0/chp0.00/type)'
vm_wait guest '^paths 80 80 ff 32' 60
for round in 1 2; do
	vm_type guest "echo 0 >online; echo offline $round \$(cat online) \$(cat /sys/class/misc/hw_random/rng_available)"
	vm_wait guest "^offline $round 0" 60
	vm_type guest "echo 1 >online; echo online $round \$(cat online); dd if=/dev/hwrng bs=64 count=100 2>/dev/null | wc -c"
	vm_wait guest "^online $round 1" 60
	vm_wait guest '^6400' 60 "$round"
done
vm_poweroff guest
