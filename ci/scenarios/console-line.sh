# The line-mode console of s390x, for output and input.
# on: s390x
# seconds: 120
. /lab/scenarios/lib.sh

# Under KVM, Linux has the line-mode console only when asked: it prefers VT220.
APPEND=$(echo "$APPEND" | sed 's/console=[^ ]*/console=ttyS0 conmode=sclp/')
vm_try guest trixie/vmlinuz
