# The cloud flavour of Debian trixie's kernel.
# on: x86_64
# kernels: trixie-cloud
# seconds: 120
. /lab/scenarios/lib.sh

vm_try guest trixie-cloud/vmlinuz --cpus 2
case $(vm_fact guest release) in
*-cloud-*) ;;
*) fail "another kernel booted" ;;
esac
