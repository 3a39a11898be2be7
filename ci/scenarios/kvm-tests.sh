# The tests that need a host's KVM (bare-metal guests, exits, state moved to a second VM), on a host that is this ISA's.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 120
# tests: kvm
. /lab/scenarios/lib.sh

found=
for test in /lab/tests/kvm_*; do
	[ -e "$test" ] || continue
	found=1
	CI=true TRIARCH_KVM_TESTS=on TRIARCH=/lab/triarch check "$(basename "$test")" "$test" --test-threads=1
done
[ "$found" ] || fail "there are no tests in /lab/tests"
