/* The floor of a start on x86_64: only the ioctls that a guest takes which writes one byte to a port.
 *   floor none|split|kernel|pit [cpuid] */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define RAM (128ul << 20)
#define LEAVES 256

static int must(int result, const char *what) {
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

int main(int argc, char **argv) {
	/* mov $0x3f8, %dx; mov $'T', %al; out %al, (%dx); hlt: at the start of the real-mode segment 0 */
	static const unsigned char code[] = {0xba, 0xf8, 0x03, 0xb0, 'T', 0xee, 0xf4};
	const char *chip = argc > 1 ? argv[1] : "none";
	int kvm = must(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = must(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	must(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000ul), "KVM_SET_TSS_ADDR");
	if (!strcmp(chip, "split")) {
		struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {24}};
		must(ioctl(vm, KVM_ENABLE_CAP, &cap), "KVM_CAP_SPLIT_IRQCHIP");
	} else if (strcmp(chip, "none")) {
		must(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
		if (!strcmp(chip, "pit")) {
			struct kvm_pit_config pit = {0};
			must(ioctl(vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
		}
	}
	unsigned char *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(ram == MAP_FAILED ? -1 : 0, "mmap");
	memcpy(ram, code, sizeof(code));
	struct kvm_userspace_memory_region region = {.memory_size = RAM, .userspace_addr = (unsigned long)ram};
	must(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	int vcpu = must(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	if (argc > 2) {
		struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + LEAVES * sizeof(cpuid->entries[0]));
		cpuid->nent = LEAVES;
		must(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, cpuid), "KVM_GET_SUPPORTED_CPUID");
		must(ioctl(vcpu, KVM_SET_CPUID2, cpuid), "KVM_SET_CPUID2");
	}
	int size = must(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	must(run == MAP_FAILED ? -1 : 0, "mmap of kvm_run");
	struct kvm_sregs sregs;
	must(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	must(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	must(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
	must(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != 0x3f8) {
		fprintf(stderr, "floor: exit reason %u\n", run->exit_reason);
		return 1;
	}
	return 0;
}
