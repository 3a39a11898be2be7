# Debian bookworm's kernel, 6.1.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# kernels: bookworm
# seconds: 120
. /lab/scenarios/lib.sh

vm_try guest bookworm/vmlinuz --cpus 2
check "it was that kernel" test "$(vm_fact guest release | cut -d. -f1,2)" = 6.1
if [ "$ISA" = x86_64 ]; then
	# It says that it unpacks itself to more than that.
	refuses 'kernel of [0-9]* bytes does not fit.*--memory 64M' --kernel "$KERNELS/bookworm/vmlinuz" --memory 64M
fi
