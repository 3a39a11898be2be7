# The line-mode console of s390x, for output and input.
# on: s390x
# seconds: 120
. /lab/scenarios/lib.sh

APPEND=$(echo "$APPEND" | sed 's/console=[^ ]*/console=ttyS0/')
vm_try guest trixie/vmlinuz
