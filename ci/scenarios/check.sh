# `triarch check` finds this host fit.
# on: x86_64 aarch64 aarch64/gicv2 s390x
# seconds: 30
. /lab/scenarios/lib.sh

triarch check >"$OUT/check.txt" 2>&1
status=$?
cat "$OUT/check.txt"
check "triarch check says yes" test "$status" = 0
check "and says something about it" test -s "$OUT/check.txt"
