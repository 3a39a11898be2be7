# SIGTERM asks the guest to shut down; a second one ends the run.
# on: x86_64 aarch64 s390x
# seconds: 200
. /lab/scenarios/lib.sh

vm_boot guest trixie/vmlinuz --on-reset reboot
case $ISA in
s390x)
	vm_boot stubborn trixie/vmlinuz
	vm_ready guest
	vm_signal guest TERM
	vm_status guest 0
	vm_ready stubborn
	# Its init is to be told, and does nothing about it.
	vm_type stubborn 'echo 0 >/proc/sys/kernel/ctrl-alt-del'
	vm_answers stubborn
	vm_signal stubborn TERM
	vm_answers stubborn
	vm_signal stubborn TERM
	vm_status stubborn 143
	;;
*)
	vm_ready guest
	# Nothing there reads what the power button says.
	vm_signal guest TERM
	vm_answers guest
	vm_signal guest TERM
	vm_status guest 143
	;;
esac
