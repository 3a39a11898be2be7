"""What differs between the three ISAs, as data."""

import dataclasses


@dataclasses.dataclass(frozen=True, eq=False)
class Isa:
    """An ISA of Triarch and Debian's and Rust's names for it."""
    name: str
    debian: str
    target: str
    tools: str
    #: kernel name in the lab -> (Debian release, metapackage)
    kernels: dict
    #: modules that the emulated host loads, in no special order (dependencies are added)
    modules: tuple
    #: modules that guests load for virtio devices
    guest_modules: tuple
    #: the guest's console, and what makes stock kernels start fast under emulation
    append: str
    variants: tuple = ("",)
    #: modules by which a guest hears of its power button
    button: tuple = ()
    #: module -> its parameters
    parameters: dict = dataclasses.field(default_factory=dict)


QUICK = "panic=-1 cryptomgr.notests=1 audit=0 lsm=capability loglevel=4"
SHARE = ("9p", "9pnet_virtio")
#: What a guest with a file system on a disk loads besides.
EXT4 = ("ext4", "crc32c_generic")

ISAS = {isa.name: isa for isa in (
    Isa("x86_64", "amd64", "x86_64-unknown-linux-gnu", "x86_64-linux-gnu-",
        {"trixie": ("trixie", "linux-image-amd64"),
         "bookworm": ("bookworm", "linux-image-amd64"),
         "trixie-cloud": ("trixie", "linux-image-cloud-amd64")},
        SHARE + ("kvm-amd", "tun"),
        ("virtio_mmio", "virtio_pci", "virtio_rng", "virtio_blk", "virtio_net", "vmw_vsock_virtio_transport",
         "virtio_balloon", "virtiofs", "virtio_mem", "virtio_pmem", "nd_pmem", "pvpanic-mmio", "i6300esb"),
        f"console=ttyS0 nokaslr mitigations=off no_timer_check {QUICK} "
        "initcall_blacklist=load_system_certificate_list,jent_mod_init",
        button=("button", "evdev")),
    Isa("aarch64", "arm64", "aarch64-unknown-linux-gnu", "aarch64-linux-gnu-",
        {"trixie": ("trixie", "linux-image-arm64"),
         "bookworm": ("bookworm", "linux-image-arm64"),
         "trixie-16k": ("trixie", "linux-image-arm64-16k")},
        SHARE + ("tun",),
        ("virtio_mmio", "virtio_pci", "virtio_rng", "virtio_blk", "virtio_net", "vmw_vsock_virtio_transport",
         "virtio_balloon", "virtiofs", "virtio_mem", "virtio_pmem", "nd_pmem", "i6300esb"),
        f"console=ttyAMA0 nokaslr mitigations=off {QUICK} "
        "initcall_blacklist=load_system_certificate_list,jent_mod_init",
        ("", "gicv2"), button=("gpio_keys", "evdev")),
    Isa("s390x", "s390x", "s390x-unknown-linux-gnu", "s390x-linux-gnu-",
        {"trixie": ("trixie", "linux-image-s390x"),
         "bookworm": ("bookworm", "linux-image-s390x")},
        ("kvm", "dasd_mod", "dasd_fba_mod", "tun"),
        ("virtio_rng", "virtio_blk", "virtio_net", "vmw_vsock_virtio_transport", "virtio_balloon",
         "virtiofs", "diag288_wdt"),
        f"console=ttysclp0 nokaslr {QUICK} initcall_blacklist=load_system_certificate_list,jent_mod_init",
        parameters={"kvm": "hpage=1"}),
)}
