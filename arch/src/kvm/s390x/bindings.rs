//! KVM's interface on s390x, generated; do not edit.
//!
//! By bindgen 0.73.2 from the headers of Debian's linux-libc-dev-s390x-cross (6.1.4):
//!
//! ```text
//! mkdir -p /tmp/inc/asm; cd /tmp; echo '#include <linux/kvm.h>' > kvm-s390x.h
//! # A bit field would bring 500 lines of accessors along; its bit is the top one of `bpbc`.
//! sed -e 's/__u8 bpbc : 1;/__u8 bpbc;/' -e '/__u8 reserved2 : 7;/d' \
//!     /usr/s390x-linux-gnu/include/asm/kvm.h > inc/asm/kvm.h
//! bindgen kvm-s390x.h --use-core --no-doc-comments --no-derive-debug --with-derive-default --disable-header-comment \
//!   --wrap-unsafe-ops \
//!   --opaque-type 'kvm_(hyperv|xen|debug)_exit.*' \
//!   --allowlist-type 'kvm_(run|regs|sregs|fpu|mp_state|enable_cap|one_reg|device_attr|create_device|device_type|userspace_memory_region)' \
//!   --allowlist-type 'kvm_s390_(psw|interrupt|irq|irq_state|mem_op|vm_cpu_(processor|machine))' \
//!   --allowlist-var 'KVM_(EXIT_S390|S390|SYNC|REG_S390|MP_STATE|DEV_FLIC)_.*|KVMIO|KVM_REG_SIZE_.*' \
//!   --allowlist-var 'KVM_CAP_(S390_.*|USER_MEMORY|(NR|MAX)_VCPUS|MAX_VCPU_ID|SYNC_REGS|IMMEDIATE_EXIT|IRQFD|IOEVENTFD)' \
//!   --allowlist-var 'KVM_CAP_(ENABLE_CAP(_VM)?|DEVICE_CTRL|VM_ATTRIBUTES|ONE_REG|MP_STATE)' \
//!   --allowlist-var 'KVM_EXIT_(UNKNOWN|DEBUG|INTR|FAIL_ENTRY|INTERNAL_ERROR|SYSTEM_EVENT)' \
//!   --allowlist-type 'kvm_(irqfd|ioeventfd|irq_routing|irq_routing_entry|s390_io_adapter)' \
//!   --allowlist-var 'KVM_IRQFD_FLAG_DEASSIGN|KVM_IRQ_ROUTING_S390_ADAPTER|kvm_ioeventfd_flag_nr_.*' \
//!   -- --target=s390x-linux-gnu -Iinc -I/usr/s390x-linux-gnu/include
//! ```

#[derive(PartialEq, Eq, Copy, Clone, Debug, Hash)]
#[repr(C, align(8))]
pub struct __BindgenOpaqueArray8<T>(pub T);
impl<T: Copy + Default, const N: usize> Default for __BindgenOpaqueArray8<[T; N]> {
    fn default() -> Self {
        Self([<T as Default>::default(); N])
    }
}
#[repr(C)]
#[derive(Default)]
pub struct __IncompleteArrayField<T>(::core::marker::PhantomData<T>, [T; 0]);
impl<T> __IncompleteArrayField<T> {
    #[inline]
    pub const fn new() -> Self {
        __IncompleteArrayField(::core::marker::PhantomData, [])
    }
    #[inline]
    pub fn as_ptr(&self) -> *const T {
        self as *const _ as *const T
    }
    #[inline]
    pub fn as_mut_ptr(&mut self) -> *mut T {
        self as *mut _ as *mut T
    }
    #[inline]
    pub unsafe fn as_slice(&self, len: usize) -> &[T] {
        unsafe { ::core::slice::from_raw_parts(self.as_ptr(), len) }
    }
    #[inline]
    pub unsafe fn as_mut_slice(&mut self, len: usize) -> &mut [T] {
        unsafe { ::core::slice::from_raw_parts_mut(self.as_mut_ptr(), len) }
    }
}
impl<T> ::core::fmt::Debug for __IncompleteArrayField<T> {
    fn fmt(&self, fmt: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        fmt.write_str("__IncompleteArrayField")
    }
}
pub const KVM_DEV_FLIC_GET_ALL_IRQS: u32 = 1;
pub const KVM_DEV_FLIC_ENQUEUE: u32 = 2;
pub const KVM_DEV_FLIC_CLEAR_IRQS: u32 = 3;
pub const KVM_DEV_FLIC_APF_ENABLE: u32 = 4;
pub const KVM_DEV_FLIC_APF_DISABLE_WAIT: u32 = 5;
pub const KVM_DEV_FLIC_ADAPTER_REGISTER: u32 = 6;
pub const KVM_DEV_FLIC_ADAPTER_MODIFY: u32 = 7;
pub const KVM_DEV_FLIC_CLEAR_IO_IRQ: u32 = 8;
pub const KVM_DEV_FLIC_AISM: u32 = 9;
pub const KVM_DEV_FLIC_AIRQ_INJECT: u32 = 10;
pub const KVM_DEV_FLIC_AISM_ALL: u32 = 11;
pub const KVM_S390_MAX_FLOAT_IRQS: u32 = 266250;
pub const KVM_S390_FLIC_MAX_BUFFER: u32 = 33554432;
pub const KVM_S390_ADAPTER_SUPPRESSIBLE: u32 = 1;
pub const KVM_S390_IO_ADAPTER_MASK: u32 = 1;
pub const KVM_S390_IO_ADAPTER_MAP: u32 = 2;
pub const KVM_S390_IO_ADAPTER_UNMAP: u32 = 3;
pub const KVM_S390_VM_MEM_CTRL: u32 = 0;
pub const KVM_S390_VM_TOD: u32 = 1;
pub const KVM_S390_VM_CRYPTO: u32 = 2;
pub const KVM_S390_VM_CPU_MODEL: u32 = 3;
pub const KVM_S390_VM_MIGRATION: u32 = 4;
pub const KVM_S390_VM_CPU_TOPOLOGY: u32 = 5;
pub const KVM_S390_VM_MEM_ENABLE_CMMA: u32 = 0;
pub const KVM_S390_VM_MEM_CLR_CMMA: u32 = 1;
pub const KVM_S390_VM_MEM_LIMIT_SIZE: u32 = 2;
pub const KVM_S390_VM_TOD_LOW: u32 = 0;
pub const KVM_S390_VM_TOD_HIGH: u32 = 1;
pub const KVM_S390_VM_TOD_EXT: u32 = 2;
pub const KVM_S390_VM_CPU_PROCESSOR: u32 = 0;
pub const KVM_S390_VM_CPU_MACHINE: u32 = 1;
pub const KVM_S390_VM_CPU_PROCESSOR_FEAT: u32 = 2;
pub const KVM_S390_VM_CPU_MACHINE_FEAT: u32 = 3;
pub const KVM_S390_VM_CPU_FEAT_NR_BITS: u32 = 1024;
pub const KVM_S390_VM_CPU_FEAT_ESOP: u32 = 0;
pub const KVM_S390_VM_CPU_FEAT_SIEF2: u32 = 1;
pub const KVM_S390_VM_CPU_FEAT_64BSCAO: u32 = 2;
pub const KVM_S390_VM_CPU_FEAT_SIIF: u32 = 3;
pub const KVM_S390_VM_CPU_FEAT_GPERE: u32 = 4;
pub const KVM_S390_VM_CPU_FEAT_GSLS: u32 = 5;
pub const KVM_S390_VM_CPU_FEAT_IB: u32 = 6;
pub const KVM_S390_VM_CPU_FEAT_CEI: u32 = 7;
pub const KVM_S390_VM_CPU_FEAT_IBS: u32 = 8;
pub const KVM_S390_VM_CPU_FEAT_SKEY: u32 = 9;
pub const KVM_S390_VM_CPU_FEAT_CMMA: u32 = 10;
pub const KVM_S390_VM_CPU_FEAT_PFMFI: u32 = 11;
pub const KVM_S390_VM_CPU_FEAT_SIGPIF: u32 = 12;
pub const KVM_S390_VM_CPU_FEAT_KSS: u32 = 13;
pub const KVM_S390_VM_CPU_PROCESSOR_SUBFUNC: u32 = 4;
pub const KVM_S390_VM_CPU_MACHINE_SUBFUNC: u32 = 5;
pub const KVM_S390_VM_CRYPTO_ENABLE_AES_KW: u32 = 0;
pub const KVM_S390_VM_CRYPTO_ENABLE_DEA_KW: u32 = 1;
pub const KVM_S390_VM_CRYPTO_DISABLE_AES_KW: u32 = 2;
pub const KVM_S390_VM_CRYPTO_DISABLE_DEA_KW: u32 = 3;
pub const KVM_S390_VM_CRYPTO_ENABLE_APIE: u32 = 4;
pub const KVM_S390_VM_CRYPTO_DISABLE_APIE: u32 = 5;
pub const KVM_S390_VM_MIGRATION_STOP: u32 = 0;
pub const KVM_S390_VM_MIGRATION_START: u32 = 1;
pub const KVM_S390_VM_MIGRATION_STATUS: u32 = 2;
pub const KVM_S390_PFAULT_TOKEN_INVALID: i32 = -1;
pub const KVM_SYNC_PREFIX: u32 = 1;
pub const KVM_SYNC_GPRS: u32 = 2;
pub const KVM_SYNC_ACRS: u32 = 4;
pub const KVM_SYNC_CRS: u32 = 8;
pub const KVM_SYNC_ARCH0: u32 = 16;
pub const KVM_SYNC_PFAULT: u32 = 32;
pub const KVM_SYNC_VRS: u32 = 64;
pub const KVM_SYNC_RICCB: u32 = 128;
pub const KVM_SYNC_FPRS: u32 = 256;
pub const KVM_SYNC_GSCB: u32 = 512;
pub const KVM_SYNC_BPBC: u32 = 1024;
pub const KVM_SYNC_ETOKEN: u32 = 2048;
pub const KVM_SYNC_DIAG318: u32 = 4096;
pub const KVM_SYNC_S390_VALID_FIELDS: u32 = 8191;
pub const KVM_S390_CMMA_PEEK: u32 = 1;
pub const KVM_S390_GET_SKEYS_NONE: u32 = 1;
pub const KVM_S390_SKEYS_MAX: u32 = 1048576;
pub const KVM_EXIT_UNKNOWN: u32 = 0;
pub const KVM_EXIT_DEBUG: u32 = 4;
pub const KVM_EXIT_FAIL_ENTRY: u32 = 9;
pub const KVM_EXIT_INTR: u32 = 10;
pub const KVM_EXIT_S390_SIEIC: u32 = 13;
pub const KVM_EXIT_S390_RESET: u32 = 14;
pub const KVM_EXIT_INTERNAL_ERROR: u32 = 17;
pub const KVM_EXIT_S390_UCONTROL: u32 = 20;
pub const KVM_EXIT_S390_TSCH: u32 = 22;
pub const KVM_EXIT_SYSTEM_EVENT: u32 = 24;
pub const KVM_EXIT_S390_STSI: u32 = 25;
pub const KVM_S390_RESET_POR: u32 = 1;
pub const KVM_S390_RESET_CLEAR: u32 = 2;
pub const KVM_S390_RESET_SUBSYSTEM: u32 = 4;
pub const KVM_S390_RESET_CPU_INIT: u32 = 8;
pub const KVM_S390_RESET_IPL: u32 = 16;
pub const KVM_S390_MEMOP_LOGICAL_READ: u32 = 0;
pub const KVM_S390_MEMOP_LOGICAL_WRITE: u32 = 1;
pub const KVM_S390_MEMOP_SIDA_READ: u32 = 2;
pub const KVM_S390_MEMOP_SIDA_WRITE: u32 = 3;
pub const KVM_S390_MEMOP_ABSOLUTE_READ: u32 = 4;
pub const KVM_S390_MEMOP_ABSOLUTE_WRITE: u32 = 5;
pub const KVM_S390_MEMOP_F_CHECK_ONLY: u32 = 1;
pub const KVM_S390_MEMOP_F_INJECT_EXCEPTION: u32 = 2;
pub const KVM_S390_MEMOP_F_SKEY_PROTECTION: u32 = 4;
pub const KVM_MP_STATE_RUNNABLE: u32 = 0;
pub const KVM_MP_STATE_UNINITIALIZED: u32 = 1;
pub const KVM_MP_STATE_INIT_RECEIVED: u32 = 2;
pub const KVM_MP_STATE_HALTED: u32 = 3;
pub const KVM_MP_STATE_SIPI_RECEIVED: u32 = 4;
pub const KVM_MP_STATE_STOPPED: u32 = 5;
pub const KVM_MP_STATE_CHECK_STOP: u32 = 6;
pub const KVM_MP_STATE_OPERATING: u32 = 7;
pub const KVM_MP_STATE_LOAD: u32 = 8;
pub const KVM_MP_STATE_AP_RESET_HOLD: u32 = 9;
pub const KVM_MP_STATE_SUSPENDED: u32 = 10;
pub const KVM_S390_SIGP_STOP: u32 = 4294836224;
pub const KVM_S390_PROGRAM_INT: u32 = 4294836225;
pub const KVM_S390_SIGP_SET_PREFIX: u32 = 4294836226;
pub const KVM_S390_RESTART: u32 = 4294836227;
pub const KVM_S390_INT_PFAULT_INIT: u32 = 4294836228;
pub const KVM_S390_INT_PFAULT_DONE: u32 = 4294836229;
pub const KVM_S390_MCHK: u32 = 4294840320;
pub const KVM_S390_INT_CLOCK_COMP: u32 = 4294905860;
pub const KVM_S390_INT_CPU_TIMER: u32 = 4294905861;
pub const KVM_S390_INT_VIRTIO: u32 = 4294911491;
pub const KVM_S390_INT_SERVICE: u32 = 4294910977;
pub const KVM_S390_INT_EMERGENCY: u32 = 4294906369;
pub const KVM_S390_INT_EXTERNAL_CALL: u32 = 4294906370;
pub const KVM_S390_INT_IO_MIN: u32 = 0;
pub const KVM_S390_INT_IO_MAX: u32 = 4294836223;
pub const KVM_S390_INT_IO_AI_MASK: u32 = 67108864;
pub const KVM_S390_PGM_FLAGS_ILC_VALID: u32 = 1;
pub const KVM_S390_PGM_FLAGS_ILC_0: u32 = 2;
pub const KVM_S390_PGM_FLAGS_ILC_1: u32 = 4;
pub const KVM_S390_PGM_FLAGS_ILC_MASK: u32 = 6;
pub const KVM_S390_PGM_FLAGS_NO_REWIND: u32 = 8;
pub const KVM_S390_STOP_FLAG_STORE_STATUS: u32 = 1;
pub const KVMIO: u32 = 174;
pub const KVM_S390_SIE_PAGE_OFFSET: u32 = 1;
pub const KVM_CAP_USER_MEMORY: u32 = 3;
pub const KVM_CAP_NR_VCPUS: u32 = 9;
pub const KVM_CAP_MP_STATE: u32 = 14;
pub const KVM_CAP_IRQFD: u32 = 32;
pub const KVM_CAP_IOEVENTFD: u32 = 36;
pub const KVM_CAP_S390_PSW: u32 = 42;
pub const KVM_CAP_ENABLE_CAP: u32 = 54;
pub const KVM_CAP_MAX_VCPUS: u32 = 66;
pub const KVM_CAP_ONE_REG: u32 = 70;
pub const KVM_CAP_S390_GMAP: u32 = 71;
pub const KVM_CAP_S390_UCONTROL: u32 = 73;
pub const KVM_CAP_SYNC_REGS: u32 = 74;
pub const KVM_CAP_S390_COW: u32 = 79;
pub const KVM_CAP_S390_CSS_SUPPORT: u32 = 85;
pub const KVM_CAP_DEVICE_CTRL: u32 = 89;
pub const KVM_CAP_ENABLE_CAP_VM: u32 = 98;
pub const KVM_CAP_S390_IRQCHIP: u32 = 99;
pub const KVM_CAP_VM_ATTRIBUTES: u32 = 101;
pub const KVM_CAP_S390_USER_SIGP: u32 = 106;
pub const KVM_CAP_S390_VECTOR_REGISTERS: u32 = 107;
pub const KVM_CAP_S390_MEM_OP: u32 = 108;
pub const KVM_CAP_S390_USER_STSI: u32 = 109;
pub const KVM_CAP_S390_SKEYS: u32 = 110;
pub const KVM_CAP_S390_INJECT_IRQ: u32 = 113;
pub const KVM_CAP_S390_IRQ_STATE: u32 = 114;
pub const KVM_CAP_S390_RI: u32 = 124;
pub const KVM_CAP_MAX_VCPU_ID: u32 = 128;
pub const KVM_CAP_S390_USER_INSTR0: u32 = 130;
pub const KVM_CAP_IMMEDIATE_EXIT: u32 = 136;
pub const KVM_CAP_S390_GS: u32 = 140;
pub const KVM_CAP_S390_AIS: u32 = 141;
pub const KVM_CAP_S390_CMMA_MIGRATION: u32 = 145;
pub const KVM_CAP_S390_AIS_MIGRATION: u32 = 150;
pub const KVM_CAP_S390_BPB: u32 = 152;
pub const KVM_CAP_S390_HPAGE_1M: u32 = 156;
pub const KVM_CAP_S390_VCPU_RESETS: u32 = 179;
pub const KVM_CAP_S390_PROTECTED: u32 = 180;
pub const KVM_CAP_S390_DIAG318: u32 = 186;
pub const KVM_CAP_S390_MEM_OP_EXTENSION: u32 = 211;
pub const KVM_CAP_S390_PROTECTED_DUMP: u32 = 217;
pub const KVM_CAP_S390_ZPCI_OP: u32 = 221;
pub const KVM_CAP_S390_CPU_TOPOLOGY: u32 = 222;
pub const KVM_IRQ_ROUTING_S390_ADAPTER: u32 = 3;
pub const KVM_IRQFD_FLAG_DEASSIGN: u32 = 1;
pub const KVM_REG_SIZE_SHIFT: u32 = 52;
pub const KVM_REG_SIZE_MASK: u64 = 67553994410557440;
pub const KVM_REG_SIZE_U8: u32 = 0;
pub const KVM_REG_SIZE_U16: u64 = 4503599627370496;
pub const KVM_REG_SIZE_U32: u64 = 9007199254740992;
pub const KVM_REG_SIZE_U64: u64 = 13510798882111488;
pub const KVM_REG_SIZE_U128: u64 = 18014398509481984;
pub const KVM_REG_SIZE_U256: u64 = 22517998136852480;
pub const KVM_REG_SIZE_U512: u64 = 27021597764222976;
pub const KVM_REG_SIZE_U1024: u64 = 31525197391593472;
pub const KVM_REG_SIZE_U2048: u64 = 36028797018963968;
pub const KVM_S390_STORE_STATUS_NOADDR: i32 = -1;
pub const KVM_S390_STORE_STATUS_PREFIXED: i32 = -2;
pub const KVM_S390_ZPCIOP_REG_AEN: u32 = 0;
pub const KVM_S390_ZPCIOP_DEREG_AEN: u32 = 1;
pub const KVM_S390_ZPCIOP_REGAEN_HOST: u32 = 1;
pub type __u8 = ::core::ffi::c_uchar;
pub type __u16 = ::core::ffi::c_ushort;
pub type __s32 = ::core::ffi::c_int;
pub type __u32 = ::core::ffi::c_uint;
pub type __u64 = ::core::ffi::c_ulonglong;
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_io_adapter {
    pub id: __u32,
    pub isc: __u8,
    pub maskable: __u8,
    pub swap: __u8,
    pub flags: __u8,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_io_adapter"][::core::mem::size_of::<kvm_s390_io_adapter>() - 8usize];
    ["Alignment of kvm_s390_io_adapter"][::core::mem::align_of::<kvm_s390_io_adapter>() - 4usize];
    ["Offset of field: kvm_s390_io_adapter::id"][::core::mem::offset_of!(kvm_s390_io_adapter, id) - 0usize];
    ["Offset of field: kvm_s390_io_adapter::isc"][::core::mem::offset_of!(kvm_s390_io_adapter, isc) - 4usize];
    ["Offset of field: kvm_s390_io_adapter::maskable"]
        [::core::mem::offset_of!(kvm_s390_io_adapter, maskable) - 5usize];
    ["Offset of field: kvm_s390_io_adapter::swap"]
        [::core::mem::offset_of!(kvm_s390_io_adapter, swap) - 6usize];
    ["Offset of field: kvm_s390_io_adapter::flags"]
        [::core::mem::offset_of!(kvm_s390_io_adapter, flags) - 7usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_s390_vm_cpu_processor {
    pub cpuid: __u64,
    pub ibc: __u16,
    pub pad: [__u8; 6usize],
    pub fac_list: [__u64; 256usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_vm_cpu_processor"][::core::mem::size_of::<kvm_s390_vm_cpu_processor>() - 2064usize];
    ["Alignment of kvm_s390_vm_cpu_processor"][::core::mem::align_of::<kvm_s390_vm_cpu_processor>() - 8usize];
    ["Offset of field: kvm_s390_vm_cpu_processor::cpuid"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_processor, cpuid) - 0usize];
    ["Offset of field: kvm_s390_vm_cpu_processor::ibc"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_processor, ibc) - 8usize];
    ["Offset of field: kvm_s390_vm_cpu_processor::pad"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_processor, pad) - 10usize];
    ["Offset of field: kvm_s390_vm_cpu_processor::fac_list"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_processor, fac_list) - 16usize];
};
impl Default for kvm_s390_vm_cpu_processor {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_s390_vm_cpu_machine {
    pub cpuid: __u64,
    pub ibc: __u32,
    pub pad: [__u8; 4usize],
    pub fac_mask: [__u64; 256usize],
    pub fac_list: [__u64; 256usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_vm_cpu_machine"][::core::mem::size_of::<kvm_s390_vm_cpu_machine>() - 4112usize];
    ["Alignment of kvm_s390_vm_cpu_machine"][::core::mem::align_of::<kvm_s390_vm_cpu_machine>() - 8usize];
    ["Offset of field: kvm_s390_vm_cpu_machine::cpuid"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_machine, cpuid) - 0usize];
    ["Offset of field: kvm_s390_vm_cpu_machine::ibc"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_machine, ibc) - 8usize];
    ["Offset of field: kvm_s390_vm_cpu_machine::pad"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_machine, pad) - 12usize];
    ["Offset of field: kvm_s390_vm_cpu_machine::fac_mask"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_machine, fac_mask) - 16usize];
    ["Offset of field: kvm_s390_vm_cpu_machine::fac_list"]
        [::core::mem::offset_of!(kvm_s390_vm_cpu_machine, fac_list) - 2064usize];
};
impl Default for kvm_s390_vm_cpu_machine {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_regs {
    pub gprs: [__u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_regs"][::core::mem::size_of::<kvm_regs>() - 128usize];
    ["Alignment of kvm_regs"][::core::mem::align_of::<kvm_regs>() - 8usize];
    ["Offset of field: kvm_regs::gprs"][::core::mem::offset_of!(kvm_regs, gprs) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_sregs {
    pub acrs: [__u32; 16usize],
    pub crs: [__u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_sregs"][::core::mem::size_of::<kvm_sregs>() - 192usize];
    ["Alignment of kvm_sregs"][::core::mem::align_of::<kvm_sregs>() - 8usize];
    ["Offset of field: kvm_sregs::acrs"][::core::mem::offset_of!(kvm_sregs, acrs) - 0usize];
    ["Offset of field: kvm_sregs::crs"][::core::mem::offset_of!(kvm_sregs, crs) - 64usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_fpu {
    pub fpc: __u32,
    pub fprs: [__u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_fpu"][::core::mem::size_of::<kvm_fpu>() - 136usize];
    ["Alignment of kvm_fpu"][::core::mem::align_of::<kvm_fpu>() - 8usize];
    ["Offset of field: kvm_fpu::fpc"][::core::mem::offset_of!(kvm_fpu, fpc) - 0usize];
    ["Offset of field: kvm_fpu::fprs"][::core::mem::offset_of!(kvm_fpu, fprs) - 8usize];
};
#[repr(C)]
#[repr(align(8))]
#[derive(Default, Copy, Clone)]
pub struct kvm_debug_exit_arch {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 16usize]>,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_debug_exit_arch"][::core::mem::size_of::<kvm_debug_exit_arch>() - 16usize];
    ["Alignment of kvm_debug_exit_arch"][::core::mem::align_of::<kvm_debug_exit_arch>() - 8usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_sync_regs {
    pub prefix: __u64,
    pub gprs: [__u64; 16usize],
    pub acrs: [__u32; 16usize],
    pub crs: [__u64; 16usize],
    pub todpr: __u64,
    pub cputm: __u64,
    pub ckc: __u64,
    pub pp: __u64,
    pub gbea: __u64,
    pub pft: __u64,
    pub pfs: __u64,
    pub pfc: __u64,
    pub __bindgen_anon_1: kvm_sync_regs__bindgen_ty_1,
    pub reserved: [__u8; 512usize],
    pub fpc: __u32,
    pub bpbc: __u8,
    pub padding1: [__u8; 51usize],
    pub riccb: [__u8; 64usize],
    pub diag318: __u64,
    pub padding2: [__u8; 184usize],
    pub __bindgen_anon_2: kvm_sync_regs__bindgen_ty_2,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_sync_regs__bindgen_ty_1 {
    pub vrs: [[__u64; 2usize]; 32usize],
    pub fprs: [__u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_sync_regs__bindgen_ty_1"][::core::mem::size_of::<kvm_sync_regs__bindgen_ty_1>() - 512usize];
    ["Alignment of kvm_sync_regs__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_sync_regs__bindgen_ty_1>() - 8usize];
    ["Offset of field: kvm_sync_regs__bindgen_ty_1::vrs"]
        [::core::mem::offset_of!(kvm_sync_regs__bindgen_ty_1, vrs) - 0usize];
    ["Offset of field: kvm_sync_regs__bindgen_ty_1::fprs"]
        [::core::mem::offset_of!(kvm_sync_regs__bindgen_ty_1, fprs) - 0usize];
};
impl Default for kvm_sync_regs__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_sync_regs__bindgen_ty_2 {
    pub sdnx: [__u8; 256usize],
    pub __bindgen_anon_1: kvm_sync_regs__bindgen_ty_2__bindgen_ty_1,
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_sync_regs__bindgen_ty_2__bindgen_ty_1 {
    pub reserved1: [__u64; 2usize],
    pub gscb: [__u64; 4usize],
    pub etoken: __u64,
    pub etoken_extension: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_sync_regs__bindgen_ty_2__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_sync_regs__bindgen_ty_2__bindgen_ty_1>() - 64usize];
    ["Alignment of kvm_sync_regs__bindgen_ty_2__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_sync_regs__bindgen_ty_2__bindgen_ty_1>() - 8usize];
    ["Offset of field: kvm_sync_regs__bindgen_ty_2__bindgen_ty_1::reserved1"]
        [::core::mem::offset_of!(kvm_sync_regs__bindgen_ty_2__bindgen_ty_1, reserved1) - 0usize];
    ["Offset of field: kvm_sync_regs__bindgen_ty_2__bindgen_ty_1::gscb"]
        [::core::mem::offset_of!(kvm_sync_regs__bindgen_ty_2__bindgen_ty_1, gscb) - 16usize];
    ["Offset of field: kvm_sync_regs__bindgen_ty_2__bindgen_ty_1::etoken"]
        [::core::mem::offset_of!(kvm_sync_regs__bindgen_ty_2__bindgen_ty_1, etoken) - 48usize];
    ["Offset of field: kvm_sync_regs__bindgen_ty_2__bindgen_ty_1::etoken_extension"]
        [::core::mem::offset_of!(kvm_sync_regs__bindgen_ty_2__bindgen_ty_1, etoken_extension) - 56usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_sync_regs__bindgen_ty_2"][::core::mem::size_of::<kvm_sync_regs__bindgen_ty_2>() - 256usize];
    ["Alignment of kvm_sync_regs__bindgen_ty_2"]
        [::core::mem::align_of::<kvm_sync_regs__bindgen_ty_2>() - 8usize];
    ["Offset of field: kvm_sync_regs__bindgen_ty_2::sdnx"]
        [::core::mem::offset_of!(kvm_sync_regs__bindgen_ty_2, sdnx) - 0usize];
};
impl Default for kvm_sync_regs__bindgen_ty_2 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_sync_regs"][::core::mem::size_of::<kvm_sync_regs>() - 1984usize];
    ["Alignment of kvm_sync_regs"][::core::mem::align_of::<kvm_sync_regs>() - 8usize];
    ["Offset of field: kvm_sync_regs::prefix"][::core::mem::offset_of!(kvm_sync_regs, prefix) - 0usize];
    ["Offset of field: kvm_sync_regs::gprs"][::core::mem::offset_of!(kvm_sync_regs, gprs) - 8usize];
    ["Offset of field: kvm_sync_regs::acrs"][::core::mem::offset_of!(kvm_sync_regs, acrs) - 136usize];
    ["Offset of field: kvm_sync_regs::crs"][::core::mem::offset_of!(kvm_sync_regs, crs) - 200usize];
    ["Offset of field: kvm_sync_regs::todpr"][::core::mem::offset_of!(kvm_sync_regs, todpr) - 328usize];
    ["Offset of field: kvm_sync_regs::cputm"][::core::mem::offset_of!(kvm_sync_regs, cputm) - 336usize];
    ["Offset of field: kvm_sync_regs::ckc"][::core::mem::offset_of!(kvm_sync_regs, ckc) - 344usize];
    ["Offset of field: kvm_sync_regs::pp"][::core::mem::offset_of!(kvm_sync_regs, pp) - 352usize];
    ["Offset of field: kvm_sync_regs::gbea"][::core::mem::offset_of!(kvm_sync_regs, gbea) - 360usize];
    ["Offset of field: kvm_sync_regs::pft"][::core::mem::offset_of!(kvm_sync_regs, pft) - 368usize];
    ["Offset of field: kvm_sync_regs::pfs"][::core::mem::offset_of!(kvm_sync_regs, pfs) - 376usize];
    ["Offset of field: kvm_sync_regs::pfc"][::core::mem::offset_of!(kvm_sync_regs, pfc) - 384usize];
    ["Offset of field: kvm_sync_regs::reserved"][::core::mem::offset_of!(kvm_sync_regs, reserved) - 904usize];
    ["Offset of field: kvm_sync_regs::fpc"][::core::mem::offset_of!(kvm_sync_regs, fpc) - 1416usize];
    ["Offset of field: kvm_sync_regs::bpbc"][::core::mem::offset_of!(kvm_sync_regs, bpbc) - 1420usize];
    ["Offset of field: kvm_sync_regs::padding1"]
        [::core::mem::offset_of!(kvm_sync_regs, padding1) - 1421usize];
    ["Offset of field: kvm_sync_regs::riccb"][::core::mem::offset_of!(kvm_sync_regs, riccb) - 1472usize];
    ["Offset of field: kvm_sync_regs::diag318"][::core::mem::offset_of!(kvm_sync_regs, diag318) - 1536usize];
    ["Offset of field: kvm_sync_regs::padding2"]
        [::core::mem::offset_of!(kvm_sync_regs, padding2) - 1544usize];
};
impl Default for kvm_sync_regs {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_userspace_memory_region {
    pub slot: __u32,
    pub flags: __u32,
    pub guest_phys_addr: __u64,
    pub memory_size: __u64,
    pub userspace_addr: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_userspace_memory_region"][::core::mem::size_of::<kvm_userspace_memory_region>() - 32usize];
    ["Alignment of kvm_userspace_memory_region"]
        [::core::mem::align_of::<kvm_userspace_memory_region>() - 8usize];
    ["Offset of field: kvm_userspace_memory_region::slot"]
        [::core::mem::offset_of!(kvm_userspace_memory_region, slot) - 0usize];
    ["Offset of field: kvm_userspace_memory_region::flags"]
        [::core::mem::offset_of!(kvm_userspace_memory_region, flags) - 4usize];
    ["Offset of field: kvm_userspace_memory_region::guest_phys_addr"]
        [::core::mem::offset_of!(kvm_userspace_memory_region, guest_phys_addr) - 8usize];
    ["Offset of field: kvm_userspace_memory_region::memory_size"]
        [::core::mem::offset_of!(kvm_userspace_memory_region, memory_size) - 16usize];
    ["Offset of field: kvm_userspace_memory_region::userspace_addr"]
        [::core::mem::offset_of!(kvm_userspace_memory_region, userspace_addr) - 24usize];
};
#[repr(C)]
#[repr(align(8))]
#[derive(Default, Copy, Clone)]
pub struct kvm_hyperv_exit {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 56usize]>,
}
#[repr(C)]
#[repr(align(8))]
#[derive(Copy, Clone)]
pub union kvm_hyperv_exit__bindgen_ty_1 {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 48usize]>,
}
#[repr(C)]
#[repr(align(8))]
#[derive(Default, Copy, Clone)]
pub struct kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_1 {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 32usize]>,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_1>() - 32usize];
    ["Alignment of kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_1>() - 8usize];
};
#[repr(C)]
#[repr(align(8))]
#[derive(Default, Copy, Clone)]
pub struct kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_2 {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 32usize]>,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_2"]
        [::core::mem::size_of::<kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_2>() - 32usize];
    ["Alignment of kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_2"]
        [::core::mem::align_of::<kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_2>() - 8usize];
};
#[repr(C)]
#[repr(align(8))]
#[derive(Default, Copy, Clone)]
pub struct kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_3 {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 48usize]>,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_3"]
        [::core::mem::size_of::<kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_3>() - 48usize];
    ["Alignment of kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_3"]
        [::core::mem::align_of::<kvm_hyperv_exit__bindgen_ty_1__bindgen_ty_3>() - 8usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_hyperv_exit__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_hyperv_exit__bindgen_ty_1>() - 48usize];
    ["Alignment of kvm_hyperv_exit__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_hyperv_exit__bindgen_ty_1>() - 8usize];
};
impl Default for kvm_hyperv_exit__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_hyperv_exit"][::core::mem::size_of::<kvm_hyperv_exit>() - 56usize];
    ["Alignment of kvm_hyperv_exit"][::core::mem::align_of::<kvm_hyperv_exit>() - 8usize];
};
#[repr(C)]
#[repr(align(8))]
#[derive(Default, Copy, Clone)]
pub struct kvm_xen_exit {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 80usize]>,
}
#[repr(C)]
#[repr(align(8))]
#[derive(Copy, Clone)]
pub union kvm_xen_exit__bindgen_ty_1 {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 72usize]>,
}
#[repr(C)]
#[repr(align(8))]
#[derive(Default, Copy, Clone)]
pub struct kvm_xen_exit__bindgen_ty_1__bindgen_ty_1 {
    pub _bindgen_opaque_blob: __BindgenOpaqueArray8<[u8; 72usize]>,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_xen_exit__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_xen_exit__bindgen_ty_1__bindgen_ty_1>() - 72usize];
    ["Alignment of kvm_xen_exit__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_xen_exit__bindgen_ty_1__bindgen_ty_1>() - 8usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_xen_exit__bindgen_ty_1"][::core::mem::size_of::<kvm_xen_exit__bindgen_ty_1>() - 72usize];
    ["Alignment of kvm_xen_exit__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_xen_exit__bindgen_ty_1>() - 8usize];
};
impl Default for kvm_xen_exit__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_xen_exit"][::core::mem::size_of::<kvm_xen_exit>() - 80usize];
    ["Alignment of kvm_xen_exit"][::core::mem::align_of::<kvm_xen_exit>() - 8usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_run {
    pub request_interrupt_window: __u8,
    pub immediate_exit: __u8,
    pub padding1: [__u8; 6usize],
    pub exit_reason: __u32,
    pub ready_for_interrupt_injection: __u8,
    pub if_flag: __u8,
    pub flags: __u16,
    pub cr8: __u64,
    pub apic_base: __u64,
    pub psw_mask: __u64,
    pub psw_addr: __u64,
    pub __bindgen_anon_1: kvm_run__bindgen_ty_1,
    pub kvm_valid_regs: __u64,
    pub kvm_dirty_regs: __u64,
    pub s: kvm_run__bindgen_ty_2,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_run__bindgen_ty_1 {
    pub hw: kvm_run__bindgen_ty_1__bindgen_ty_1,
    pub fail_entry: kvm_run__bindgen_ty_1__bindgen_ty_2,
    pub ex: kvm_run__bindgen_ty_1__bindgen_ty_3,
    pub io: kvm_run__bindgen_ty_1__bindgen_ty_4,
    pub debug: kvm_run__bindgen_ty_1__bindgen_ty_5,
    pub mmio: kvm_run__bindgen_ty_1__bindgen_ty_6,
    pub hypercall: kvm_run__bindgen_ty_1__bindgen_ty_7,
    pub tpr_access: kvm_run__bindgen_ty_1__bindgen_ty_8,
    pub s390_sieic: kvm_run__bindgen_ty_1__bindgen_ty_9,
    pub s390_reset_flags: __u64,
    pub s390_ucontrol: kvm_run__bindgen_ty_1__bindgen_ty_10,
    pub dcr: kvm_run__bindgen_ty_1__bindgen_ty_11,
    pub internal: kvm_run__bindgen_ty_1__bindgen_ty_12,
    pub emulation_failure: kvm_run__bindgen_ty_1__bindgen_ty_13,
    pub osi: kvm_run__bindgen_ty_1__bindgen_ty_14,
    pub papr_hcall: kvm_run__bindgen_ty_1__bindgen_ty_15,
    pub s390_tsch: kvm_run__bindgen_ty_1__bindgen_ty_16,
    pub epr: kvm_run__bindgen_ty_1__bindgen_ty_17,
    pub system_event: kvm_run__bindgen_ty_1__bindgen_ty_18,
    pub s390_stsi: kvm_run__bindgen_ty_1__bindgen_ty_19,
    pub eoi: kvm_run__bindgen_ty_1__bindgen_ty_20,
    pub hyperv: kvm_hyperv_exit,
    pub arm_nisv: kvm_run__bindgen_ty_1__bindgen_ty_21,
    pub msr: kvm_run__bindgen_ty_1__bindgen_ty_22,
    pub xen: kvm_xen_exit,
    pub riscv_sbi: kvm_run__bindgen_ty_1__bindgen_ty_23,
    pub riscv_csr: kvm_run__bindgen_ty_1__bindgen_ty_24,
    pub notify: kvm_run__bindgen_ty_1__bindgen_ty_25,
    pub padding: [::core::ffi::c_char; 256usize],
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_1 {
    pub hardware_exit_reason: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_1>() - 8usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_1>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_1::hardware_exit_reason"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_1, hardware_exit_reason) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_2 {
    pub hardware_entry_failure_reason: __u64,
    pub cpu: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_2"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_2>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_2"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_2>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_2::hardware_entry_failure_reason"][::core::mem::offset_of!(
        kvm_run__bindgen_ty_1__bindgen_ty_2,
        hardware_entry_failure_reason
    ) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_2::cpu"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_2, cpu) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_3 {
    pub exception: __u32,
    pub error_code: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_3"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_3>() - 8usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_3"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_3>() - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_3::exception"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_3, exception) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_3::error_code"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_3, error_code) - 4usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_4 {
    pub direction: __u8,
    pub size: __u8,
    pub port: __u16,
    pub count: __u32,
    pub data_offset: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_4"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_4>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_4"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_4>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_4::direction"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_4, direction) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_4::size"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_4, size) - 1usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_4::port"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_4, port) - 2usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_4::count"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_4, count) - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_4::data_offset"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_4, data_offset) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_5 {
    pub arch: kvm_debug_exit_arch,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_5"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_5>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_5"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_5>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_5::arch"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_5, arch) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_6 {
    pub phys_addr: __u64,
    pub data: [__u8; 8usize],
    pub len: __u32,
    pub is_write: __u8,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_6"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_6>() - 24usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_6"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_6>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_6::phys_addr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_6, phys_addr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_6::data"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_6, data) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_6::len"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_6, len) - 16usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_6::is_write"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_6, is_write) - 20usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_7 {
    pub nr: __u64,
    pub args: [__u64; 6usize],
    pub ret: __u64,
    pub longmode: __u32,
    pub pad: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_7"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_7>() - 72usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_7"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_7>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_7::nr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_7, nr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_7::args"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_7, args) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_7::ret"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_7, ret) - 56usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_7::longmode"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_7, longmode) - 64usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_7::pad"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_7, pad) - 68usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_8 {
    pub rip: __u64,
    pub is_write: __u32,
    pub pad: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_8"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_8>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_8"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_8>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_8::rip"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_8, rip) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_8::is_write"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_8, is_write) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_8::pad"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_8, pad) - 12usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_9 {
    pub icptcode: __u8,
    pub ipa: __u16,
    pub ipb: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_9"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_9>() - 8usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_9"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_9>() - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_9::icptcode"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_9, icptcode) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_9::ipa"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_9, ipa) - 2usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_9::ipb"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_9, ipb) - 4usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_10 {
    pub trans_exc_code: __u64,
    pub pgm_code: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_10"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_10>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_10"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_10>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_10::trans_exc_code"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_10, trans_exc_code) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_10::pgm_code"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_10, pgm_code) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_11 {
    pub dcrn: __u32,
    pub data: __u32,
    pub is_write: __u8,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_11"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_11>() - 12usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_11"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_11>() - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_11::dcrn"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_11, dcrn) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_11::data"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_11, data) - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_11::is_write"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_11, is_write) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_12 {
    pub suberror: __u32,
    pub ndata: __u32,
    pub data: [__u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_12"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_12>() - 136usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_12"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_12>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_12::suberror"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_12, suberror) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_12::ndata"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_12, ndata) - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_12::data"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_12, data) - 8usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_13 {
    pub suberror: __u32,
    pub ndata: __u32,
    pub flags: __u64,
    pub __bindgen_anon_1: kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1 {
    pub __bindgen_anon_1: kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1,
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1 {
    pub insn_size: __u8,
    pub insn_bytes: [__u8; 15usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1"][::core::mem::size_of::<
        kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1,
    >() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1"][::core::mem::align_of::<
        kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1,
    >() - 1usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1::insn_size"][::core::mem::offset_of!(
        kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1,
        insn_size
    )
        - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1::insn_bytes"][::core::mem::offset_of!(
        kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1__bindgen_ty_1,
        insn_bytes
    )
        - 1usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1>() - 1usize];
};
impl Default for kvm_run__bindgen_ty_1__bindgen_ty_13__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_13"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_13>() - 32usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_13"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_13>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_13::suberror"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_13, suberror) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_13::ndata"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_13, ndata) - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_13::flags"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_13, flags) - 8usize];
};
impl Default for kvm_run__bindgen_ty_1__bindgen_ty_13 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_14 {
    pub gprs: [__u64; 32usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_14"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_14>() - 256usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_14"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_14>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_14::gprs"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_14, gprs) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_15 {
    pub nr: __u64,
    pub ret: __u64,
    pub args: [__u64; 9usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_15"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_15>() - 88usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_15"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_15>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_15::nr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_15, nr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_15::ret"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_15, ret) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_15::args"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_15, args) - 16usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_16 {
    pub subchannel_id: __u16,
    pub subchannel_nr: __u16,
    pub io_int_parm: __u32,
    pub io_int_word: __u32,
    pub ipb: __u32,
    pub dequeued: __u8,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_16"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_16>() - 20usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_16"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_16>() - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_16::subchannel_id"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_16, subchannel_id) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_16::subchannel_nr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_16, subchannel_nr) - 2usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_16::io_int_parm"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_16, io_int_parm) - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_16::io_int_word"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_16, io_int_word) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_16::ipb"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_16, ipb) - 12usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_16::dequeued"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_16, dequeued) - 16usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_17 {
    pub epr: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_17"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_17>() - 4usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_17"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_17>() - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_17::epr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_17, epr) - 0usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_18 {
    pub type_: __u32,
    pub ndata: __u32,
    pub __bindgen_anon_1: kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1 {
    pub flags: __u64,
    pub data: [__u64; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1>() - 128usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1::flags"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1, flags) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1::data"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1, data) - 0usize];
};
impl Default for kvm_run__bindgen_ty_1__bindgen_ty_18__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_18"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_18>() - 136usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_18"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_18>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_18::type_"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_18, type_) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_18::ndata"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_18, ndata) - 4usize];
};
impl Default for kvm_run__bindgen_ty_1__bindgen_ty_18 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_19 {
    pub addr: __u64,
    pub ar: __u8,
    pub reserved: __u8,
    pub fc: __u8,
    pub sel1: __u8,
    pub sel2: __u16,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_19"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_19>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_19"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_19>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_19::addr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_19, addr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_19::ar"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_19, ar) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_19::reserved"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_19, reserved) - 9usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_19::fc"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_19, fc) - 10usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_19::sel1"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_19, sel1) - 11usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_19::sel2"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_19, sel2) - 12usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_20 {
    pub vector: __u8,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_20"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_20>() - 1usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_20"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_20>() - 1usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_20::vector"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_20, vector) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_21 {
    pub esr_iss: __u64,
    pub fault_ipa: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_21"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_21>() - 16usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_21"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_21>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_21::esr_iss"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_21, esr_iss) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_21::fault_ipa"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_21, fault_ipa) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_22 {
    pub error: __u8,
    pub pad: [__u8; 7usize],
    pub reason: __u32,
    pub index: __u32,
    pub data: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_22"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_22>() - 24usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_22"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_22>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_22::error"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_22, error) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_22::pad"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_22, pad) - 1usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_22::reason"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_22, reason) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_22::index"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_22, index) - 12usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_22::data"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_22, data) - 16usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_23 {
    pub extension_id: ::core::ffi::c_ulong,
    pub function_id: ::core::ffi::c_ulong,
    pub args: [::core::ffi::c_ulong; 6usize],
    pub ret: [::core::ffi::c_ulong; 2usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_23"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_23>() - 80usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_23"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_23>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_23::extension_id"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_23, extension_id) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_23::function_id"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_23, function_id) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_23::args"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_23, args) - 16usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_23::ret"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_23, ret) - 64usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_24 {
    pub csr_num: ::core::ffi::c_ulong,
    pub new_value: ::core::ffi::c_ulong,
    pub write_mask: ::core::ffi::c_ulong,
    pub ret_value: ::core::ffi::c_ulong,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_24"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_24>() - 32usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_24"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_24>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_24::csr_num"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_24, csr_num) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_24::new_value"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_24, new_value) - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_24::write_mask"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_24, write_mask) - 16usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_24::ret_value"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_24, ret_value) - 24usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_run__bindgen_ty_1__bindgen_ty_25 {
    pub flags: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1__bindgen_ty_25"]
        [::core::mem::size_of::<kvm_run__bindgen_ty_1__bindgen_ty_25>() - 4usize];
    ["Alignment of kvm_run__bindgen_ty_1__bindgen_ty_25"]
        [::core::mem::align_of::<kvm_run__bindgen_ty_1__bindgen_ty_25>() - 4usize];
    ["Offset of field: kvm_run__bindgen_ty_1__bindgen_ty_25::flags"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1__bindgen_ty_25, flags) - 0usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_1"][::core::mem::size_of::<kvm_run__bindgen_ty_1>() - 256usize];
    ["Alignment of kvm_run__bindgen_ty_1"][::core::mem::align_of::<kvm_run__bindgen_ty_1>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_1::hw"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, hw) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::fail_entry"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, fail_entry) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::ex"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, ex) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::io"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, io) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::debug"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, debug) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::mmio"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, mmio) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::hypercall"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, hypercall) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::tpr_access"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, tpr_access) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::s390_sieic"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, s390_sieic) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::s390_reset_flags"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, s390_reset_flags) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::s390_ucontrol"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, s390_ucontrol) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::dcr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, dcr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::internal"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, internal) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::emulation_failure"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, emulation_failure) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::osi"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, osi) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::papr_hcall"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, papr_hcall) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::s390_tsch"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, s390_tsch) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::epr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, epr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::system_event"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, system_event) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::s390_stsi"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, s390_stsi) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::eoi"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, eoi) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::hyperv"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, hyperv) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::arm_nisv"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, arm_nisv) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::msr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, msr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::xen"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, xen) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::riscv_sbi"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, riscv_sbi) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::riscv_csr"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, riscv_csr) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::notify"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, notify) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_1::padding"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_1, padding) - 0usize];
};
impl Default for kvm_run__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_run__bindgen_ty_2 {
    pub regs: kvm_sync_regs,
    pub padding: [::core::ffi::c_char; 2048usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run__bindgen_ty_2"][::core::mem::size_of::<kvm_run__bindgen_ty_2>() - 2048usize];
    ["Alignment of kvm_run__bindgen_ty_2"][::core::mem::align_of::<kvm_run__bindgen_ty_2>() - 8usize];
    ["Offset of field: kvm_run__bindgen_ty_2::regs"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_2, regs) - 0usize];
    ["Offset of field: kvm_run__bindgen_ty_2::padding"]
        [::core::mem::offset_of!(kvm_run__bindgen_ty_2, padding) - 0usize];
};
impl Default for kvm_run__bindgen_ty_2 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_run"][::core::mem::size_of::<kvm_run>() - 2368usize];
    ["Alignment of kvm_run"][::core::mem::align_of::<kvm_run>() - 8usize];
    ["Offset of field: kvm_run::request_interrupt_window"]
        [::core::mem::offset_of!(kvm_run, request_interrupt_window) - 0usize];
    ["Offset of field: kvm_run::immediate_exit"][::core::mem::offset_of!(kvm_run, immediate_exit) - 1usize];
    ["Offset of field: kvm_run::padding1"][::core::mem::offset_of!(kvm_run, padding1) - 2usize];
    ["Offset of field: kvm_run::exit_reason"][::core::mem::offset_of!(kvm_run, exit_reason) - 8usize];
    ["Offset of field: kvm_run::ready_for_interrupt_injection"]
        [::core::mem::offset_of!(kvm_run, ready_for_interrupt_injection) - 12usize];
    ["Offset of field: kvm_run::if_flag"][::core::mem::offset_of!(kvm_run, if_flag) - 13usize];
    ["Offset of field: kvm_run::flags"][::core::mem::offset_of!(kvm_run, flags) - 14usize];
    ["Offset of field: kvm_run::cr8"][::core::mem::offset_of!(kvm_run, cr8) - 16usize];
    ["Offset of field: kvm_run::apic_base"][::core::mem::offset_of!(kvm_run, apic_base) - 24usize];
    ["Offset of field: kvm_run::psw_mask"][::core::mem::offset_of!(kvm_run, psw_mask) - 32usize];
    ["Offset of field: kvm_run::psw_addr"][::core::mem::offset_of!(kvm_run, psw_addr) - 40usize];
    ["Offset of field: kvm_run::kvm_valid_regs"][::core::mem::offset_of!(kvm_run, kvm_valid_regs) - 304usize];
    ["Offset of field: kvm_run::kvm_dirty_regs"][::core::mem::offset_of!(kvm_run, kvm_dirty_regs) - 312usize];
    ["Offset of field: kvm_run::s"][::core::mem::offset_of!(kvm_run, s) - 320usize];
};
impl Default for kvm_run {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_s390_mem_op {
    pub gaddr: __u64,
    pub flags: __u64,
    pub size: __u32,
    pub op: __u32,
    pub buf: __u64,
    pub __bindgen_anon_1: kvm_s390_mem_op__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_s390_mem_op__bindgen_ty_1 {
    pub __bindgen_anon_1: kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1,
    pub sida_offset: __u32,
    pub reserved: [__u8; 32usize],
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1 {
    pub ar: __u8,
    pub key: __u8,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1>() - 2usize];
    ["Alignment of kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1>() - 1usize];
    ["Offset of field: kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1::ar"]
        [::core::mem::offset_of!(kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1, ar) - 0usize];
    ["Offset of field: kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1::key"]
        [::core::mem::offset_of!(kvm_s390_mem_op__bindgen_ty_1__bindgen_ty_1, key) - 1usize];
};
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_mem_op__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_s390_mem_op__bindgen_ty_1>() - 32usize];
    ["Alignment of kvm_s390_mem_op__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_s390_mem_op__bindgen_ty_1>() - 4usize];
    ["Offset of field: kvm_s390_mem_op__bindgen_ty_1::sida_offset"]
        [::core::mem::offset_of!(kvm_s390_mem_op__bindgen_ty_1, sida_offset) - 0usize];
    ["Offset of field: kvm_s390_mem_op__bindgen_ty_1::reserved"]
        [::core::mem::offset_of!(kvm_s390_mem_op__bindgen_ty_1, reserved) - 0usize];
};
impl Default for kvm_s390_mem_op__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_mem_op"][::core::mem::size_of::<kvm_s390_mem_op>() - 64usize];
    ["Alignment of kvm_s390_mem_op"][::core::mem::align_of::<kvm_s390_mem_op>() - 8usize];
    ["Offset of field: kvm_s390_mem_op::gaddr"][::core::mem::offset_of!(kvm_s390_mem_op, gaddr) - 0usize];
    ["Offset of field: kvm_s390_mem_op::flags"][::core::mem::offset_of!(kvm_s390_mem_op, flags) - 8usize];
    ["Offset of field: kvm_s390_mem_op::size"][::core::mem::offset_of!(kvm_s390_mem_op, size) - 16usize];
    ["Offset of field: kvm_s390_mem_op::op"][::core::mem::offset_of!(kvm_s390_mem_op, op) - 20usize];
    ["Offset of field: kvm_s390_mem_op::buf"][::core::mem::offset_of!(kvm_s390_mem_op, buf) - 24usize];
};
impl Default for kvm_s390_mem_op {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_mp_state {
    pub mp_state: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_mp_state"][::core::mem::size_of::<kvm_mp_state>() - 4usize];
    ["Alignment of kvm_mp_state"][::core::mem::align_of::<kvm_mp_state>() - 4usize];
    ["Offset of field: kvm_mp_state::mp_state"][::core::mem::offset_of!(kvm_mp_state, mp_state) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_psw {
    pub mask: __u64,
    pub addr: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_psw"][::core::mem::size_of::<kvm_s390_psw>() - 16usize];
    ["Alignment of kvm_s390_psw"][::core::mem::align_of::<kvm_s390_psw>() - 8usize];
    ["Offset of field: kvm_s390_psw::mask"][::core::mem::offset_of!(kvm_s390_psw, mask) - 0usize];
    ["Offset of field: kvm_s390_psw::addr"][::core::mem::offset_of!(kvm_s390_psw, addr) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_interrupt {
    pub type_: __u32,
    pub parm: __u32,
    pub parm64: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_interrupt"][::core::mem::size_of::<kvm_s390_interrupt>() - 16usize];
    ["Alignment of kvm_s390_interrupt"][::core::mem::align_of::<kvm_s390_interrupt>() - 8usize];
    ["Offset of field: kvm_s390_interrupt::type_"]
        [::core::mem::offset_of!(kvm_s390_interrupt, type_) - 0usize];
    ["Offset of field: kvm_s390_interrupt::parm"][::core::mem::offset_of!(kvm_s390_interrupt, parm) - 4usize];
    ["Offset of field: kvm_s390_interrupt::parm64"]
        [::core::mem::offset_of!(kvm_s390_interrupt, parm64) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_io_info {
    pub subchannel_id: __u16,
    pub subchannel_nr: __u16,
    pub io_int_parm: __u32,
    pub io_int_word: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_io_info"][::core::mem::size_of::<kvm_s390_io_info>() - 12usize];
    ["Alignment of kvm_s390_io_info"][::core::mem::align_of::<kvm_s390_io_info>() - 4usize];
    ["Offset of field: kvm_s390_io_info::subchannel_id"]
        [::core::mem::offset_of!(kvm_s390_io_info, subchannel_id) - 0usize];
    ["Offset of field: kvm_s390_io_info::subchannel_nr"]
        [::core::mem::offset_of!(kvm_s390_io_info, subchannel_nr) - 2usize];
    ["Offset of field: kvm_s390_io_info::io_int_parm"]
        [::core::mem::offset_of!(kvm_s390_io_info, io_int_parm) - 4usize];
    ["Offset of field: kvm_s390_io_info::io_int_word"]
        [::core::mem::offset_of!(kvm_s390_io_info, io_int_word) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_ext_info {
    pub ext_params: __u32,
    pub pad: __u32,
    pub ext_params2: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_ext_info"][::core::mem::size_of::<kvm_s390_ext_info>() - 16usize];
    ["Alignment of kvm_s390_ext_info"][::core::mem::align_of::<kvm_s390_ext_info>() - 8usize];
    ["Offset of field: kvm_s390_ext_info::ext_params"]
        [::core::mem::offset_of!(kvm_s390_ext_info, ext_params) - 0usize];
    ["Offset of field: kvm_s390_ext_info::pad"][::core::mem::offset_of!(kvm_s390_ext_info, pad) - 4usize];
    ["Offset of field: kvm_s390_ext_info::ext_params2"]
        [::core::mem::offset_of!(kvm_s390_ext_info, ext_params2) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_pgm_info {
    pub trans_exc_code: __u64,
    pub mon_code: __u64,
    pub per_address: __u64,
    pub data_exc_code: __u32,
    pub code: __u16,
    pub mon_class_nr: __u16,
    pub per_code: __u8,
    pub per_atmid: __u8,
    pub exc_access_id: __u8,
    pub per_access_id: __u8,
    pub op_access_id: __u8,
    pub flags: __u8,
    pub pad: [__u8; 2usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_pgm_info"][::core::mem::size_of::<kvm_s390_pgm_info>() - 40usize];
    ["Alignment of kvm_s390_pgm_info"][::core::mem::align_of::<kvm_s390_pgm_info>() - 8usize];
    ["Offset of field: kvm_s390_pgm_info::trans_exc_code"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, trans_exc_code) - 0usize];
    ["Offset of field: kvm_s390_pgm_info::mon_code"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, mon_code) - 8usize];
    ["Offset of field: kvm_s390_pgm_info::per_address"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, per_address) - 16usize];
    ["Offset of field: kvm_s390_pgm_info::data_exc_code"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, data_exc_code) - 24usize];
    ["Offset of field: kvm_s390_pgm_info::code"][::core::mem::offset_of!(kvm_s390_pgm_info, code) - 28usize];
    ["Offset of field: kvm_s390_pgm_info::mon_class_nr"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, mon_class_nr) - 30usize];
    ["Offset of field: kvm_s390_pgm_info::per_code"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, per_code) - 32usize];
    ["Offset of field: kvm_s390_pgm_info::per_atmid"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, per_atmid) - 33usize];
    ["Offset of field: kvm_s390_pgm_info::exc_access_id"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, exc_access_id) - 34usize];
    ["Offset of field: kvm_s390_pgm_info::per_access_id"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, per_access_id) - 35usize];
    ["Offset of field: kvm_s390_pgm_info::op_access_id"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, op_access_id) - 36usize];
    ["Offset of field: kvm_s390_pgm_info::flags"]
        [::core::mem::offset_of!(kvm_s390_pgm_info, flags) - 37usize];
    ["Offset of field: kvm_s390_pgm_info::pad"][::core::mem::offset_of!(kvm_s390_pgm_info, pad) - 38usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_prefix_info {
    pub address: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_prefix_info"][::core::mem::size_of::<kvm_s390_prefix_info>() - 4usize];
    ["Alignment of kvm_s390_prefix_info"][::core::mem::align_of::<kvm_s390_prefix_info>() - 4usize];
    ["Offset of field: kvm_s390_prefix_info::address"]
        [::core::mem::offset_of!(kvm_s390_prefix_info, address) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_extcall_info {
    pub code: __u16,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_extcall_info"][::core::mem::size_of::<kvm_s390_extcall_info>() - 2usize];
    ["Alignment of kvm_s390_extcall_info"][::core::mem::align_of::<kvm_s390_extcall_info>() - 2usize];
    ["Offset of field: kvm_s390_extcall_info::code"]
        [::core::mem::offset_of!(kvm_s390_extcall_info, code) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_emerg_info {
    pub code: __u16,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_emerg_info"][::core::mem::size_of::<kvm_s390_emerg_info>() - 2usize];
    ["Alignment of kvm_s390_emerg_info"][::core::mem::align_of::<kvm_s390_emerg_info>() - 2usize];
    ["Offset of field: kvm_s390_emerg_info::code"]
        [::core::mem::offset_of!(kvm_s390_emerg_info, code) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_stop_info {
    pub flags: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_stop_info"][::core::mem::size_of::<kvm_s390_stop_info>() - 4usize];
    ["Alignment of kvm_s390_stop_info"][::core::mem::align_of::<kvm_s390_stop_info>() - 4usize];
    ["Offset of field: kvm_s390_stop_info::flags"]
        [::core::mem::offset_of!(kvm_s390_stop_info, flags) - 0usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_mchk_info {
    pub cr14: __u64,
    pub mcic: __u64,
    pub failing_storage_address: __u64,
    pub ext_damage_code: __u32,
    pub pad: __u32,
    pub fixed_logout: [__u8; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_mchk_info"][::core::mem::size_of::<kvm_s390_mchk_info>() - 48usize];
    ["Alignment of kvm_s390_mchk_info"][::core::mem::align_of::<kvm_s390_mchk_info>() - 8usize];
    ["Offset of field: kvm_s390_mchk_info::cr14"][::core::mem::offset_of!(kvm_s390_mchk_info, cr14) - 0usize];
    ["Offset of field: kvm_s390_mchk_info::mcic"][::core::mem::offset_of!(kvm_s390_mchk_info, mcic) - 8usize];
    ["Offset of field: kvm_s390_mchk_info::failing_storage_address"]
        [::core::mem::offset_of!(kvm_s390_mchk_info, failing_storage_address) - 16usize];
    ["Offset of field: kvm_s390_mchk_info::ext_damage_code"]
        [::core::mem::offset_of!(kvm_s390_mchk_info, ext_damage_code) - 24usize];
    ["Offset of field: kvm_s390_mchk_info::pad"][::core::mem::offset_of!(kvm_s390_mchk_info, pad) - 28usize];
    ["Offset of field: kvm_s390_mchk_info::fixed_logout"]
        [::core::mem::offset_of!(kvm_s390_mchk_info, fixed_logout) - 32usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_s390_irq {
    pub type_: __u64,
    pub u: kvm_s390_irq__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_s390_irq__bindgen_ty_1 {
    pub io: kvm_s390_io_info,
    pub ext: kvm_s390_ext_info,
    pub pgm: kvm_s390_pgm_info,
    pub emerg: kvm_s390_emerg_info,
    pub extcall: kvm_s390_extcall_info,
    pub prefix: kvm_s390_prefix_info,
    pub stop: kvm_s390_stop_info,
    pub mchk: kvm_s390_mchk_info,
    pub reserved: [::core::ffi::c_char; 64usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_irq__bindgen_ty_1"][::core::mem::size_of::<kvm_s390_irq__bindgen_ty_1>() - 64usize];
    ["Alignment of kvm_s390_irq__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_s390_irq__bindgen_ty_1>() - 8usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::io"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, io) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::ext"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, ext) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::pgm"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, pgm) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::emerg"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, emerg) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::extcall"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, extcall) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::prefix"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, prefix) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::stop"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, stop) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::mchk"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, mchk) - 0usize];
    ["Offset of field: kvm_s390_irq__bindgen_ty_1::reserved"]
        [::core::mem::offset_of!(kvm_s390_irq__bindgen_ty_1, reserved) - 0usize];
};
impl Default for kvm_s390_irq__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_irq"][::core::mem::size_of::<kvm_s390_irq>() - 72usize];
    ["Alignment of kvm_s390_irq"][::core::mem::align_of::<kvm_s390_irq>() - 8usize];
    ["Offset of field: kvm_s390_irq::type_"][::core::mem::offset_of!(kvm_s390_irq, type_) - 0usize];
    ["Offset of field: kvm_s390_irq::u"][::core::mem::offset_of!(kvm_s390_irq, u) - 8usize];
};
impl Default for kvm_s390_irq {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_s390_irq_state {
    pub buf: __u64,
    pub flags: __u32,
    pub len: __u32,
    pub reserved: [__u32; 4usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_s390_irq_state"][::core::mem::size_of::<kvm_s390_irq_state>() - 32usize];
    ["Alignment of kvm_s390_irq_state"][::core::mem::align_of::<kvm_s390_irq_state>() - 8usize];
    ["Offset of field: kvm_s390_irq_state::buf"][::core::mem::offset_of!(kvm_s390_irq_state, buf) - 0usize];
    ["Offset of field: kvm_s390_irq_state::flags"]
        [::core::mem::offset_of!(kvm_s390_irq_state, flags) - 8usize];
    ["Offset of field: kvm_s390_irq_state::len"][::core::mem::offset_of!(kvm_s390_irq_state, len) - 12usize];
    ["Offset of field: kvm_s390_irq_state::reserved"]
        [::core::mem::offset_of!(kvm_s390_irq_state, reserved) - 16usize];
};
pub const kvm_ioeventfd_flag_nr_datamatch: _bindgen_ty_1 = 0;
pub const kvm_ioeventfd_flag_nr_pio: _bindgen_ty_1 = 1;
pub const kvm_ioeventfd_flag_nr_deassign: _bindgen_ty_1 = 2;
pub const kvm_ioeventfd_flag_nr_virtio_ccw_notify: _bindgen_ty_1 = 3;
pub const kvm_ioeventfd_flag_nr_fast_mmio: _bindgen_ty_1 = 4;
pub const kvm_ioeventfd_flag_nr_max: _bindgen_ty_1 = 5;
pub type _bindgen_ty_1 = ::core::ffi::c_uint;
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_ioeventfd {
    pub datamatch: __u64,
    pub addr: __u64,
    pub len: __u32,
    pub fd: __s32,
    pub flags: __u32,
    pub pad: [__u8; 36usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_ioeventfd"][::core::mem::size_of::<kvm_ioeventfd>() - 64usize];
    ["Alignment of kvm_ioeventfd"][::core::mem::align_of::<kvm_ioeventfd>() - 8usize];
    ["Offset of field: kvm_ioeventfd::datamatch"][::core::mem::offset_of!(kvm_ioeventfd, datamatch) - 0usize];
    ["Offset of field: kvm_ioeventfd::addr"][::core::mem::offset_of!(kvm_ioeventfd, addr) - 8usize];
    ["Offset of field: kvm_ioeventfd::len"][::core::mem::offset_of!(kvm_ioeventfd, len) - 16usize];
    ["Offset of field: kvm_ioeventfd::fd"][::core::mem::offset_of!(kvm_ioeventfd, fd) - 20usize];
    ["Offset of field: kvm_ioeventfd::flags"][::core::mem::offset_of!(kvm_ioeventfd, flags) - 24usize];
    ["Offset of field: kvm_ioeventfd::pad"][::core::mem::offset_of!(kvm_ioeventfd, pad) - 28usize];
};
impl Default for kvm_ioeventfd {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_enable_cap {
    pub cap: __u32,
    pub flags: __u32,
    pub args: [__u64; 4usize],
    pub pad: [__u8; 64usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_enable_cap"][::core::mem::size_of::<kvm_enable_cap>() - 104usize];
    ["Alignment of kvm_enable_cap"][::core::mem::align_of::<kvm_enable_cap>() - 8usize];
    ["Offset of field: kvm_enable_cap::cap"][::core::mem::offset_of!(kvm_enable_cap, cap) - 0usize];
    ["Offset of field: kvm_enable_cap::flags"][::core::mem::offset_of!(kvm_enable_cap, flags) - 4usize];
    ["Offset of field: kvm_enable_cap::args"][::core::mem::offset_of!(kvm_enable_cap, args) - 8usize];
    ["Offset of field: kvm_enable_cap::pad"][::core::mem::offset_of!(kvm_enable_cap, pad) - 40usize];
};
impl Default for kvm_enable_cap {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_irq_routing_irqchip {
    pub irqchip: __u32,
    pub pin: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_irqchip"][::core::mem::size_of::<kvm_irq_routing_irqchip>() - 8usize];
    ["Alignment of kvm_irq_routing_irqchip"][::core::mem::align_of::<kvm_irq_routing_irqchip>() - 4usize];
    ["Offset of field: kvm_irq_routing_irqchip::irqchip"]
        [::core::mem::offset_of!(kvm_irq_routing_irqchip, irqchip) - 0usize];
    ["Offset of field: kvm_irq_routing_irqchip::pin"]
        [::core::mem::offset_of!(kvm_irq_routing_irqchip, pin) - 4usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_irq_routing_msi {
    pub address_lo: __u32,
    pub address_hi: __u32,
    pub data: __u32,
    pub __bindgen_anon_1: kvm_irq_routing_msi__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_irq_routing_msi__bindgen_ty_1 {
    pub pad: __u32,
    pub devid: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_msi__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_irq_routing_msi__bindgen_ty_1>() - 4usize];
    ["Alignment of kvm_irq_routing_msi__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_irq_routing_msi__bindgen_ty_1>() - 4usize];
    ["Offset of field: kvm_irq_routing_msi__bindgen_ty_1::pad"]
        [::core::mem::offset_of!(kvm_irq_routing_msi__bindgen_ty_1, pad) - 0usize];
    ["Offset of field: kvm_irq_routing_msi__bindgen_ty_1::devid"]
        [::core::mem::offset_of!(kvm_irq_routing_msi__bindgen_ty_1, devid) - 0usize];
};
impl Default for kvm_irq_routing_msi__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_msi"][::core::mem::size_of::<kvm_irq_routing_msi>() - 16usize];
    ["Alignment of kvm_irq_routing_msi"][::core::mem::align_of::<kvm_irq_routing_msi>() - 4usize];
    ["Offset of field: kvm_irq_routing_msi::address_lo"]
        [::core::mem::offset_of!(kvm_irq_routing_msi, address_lo) - 0usize];
    ["Offset of field: kvm_irq_routing_msi::address_hi"]
        [::core::mem::offset_of!(kvm_irq_routing_msi, address_hi) - 4usize];
    ["Offset of field: kvm_irq_routing_msi::data"]
        [::core::mem::offset_of!(kvm_irq_routing_msi, data) - 8usize];
};
impl Default for kvm_irq_routing_msi {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_irq_routing_s390_adapter {
    pub ind_addr: __u64,
    pub summary_addr: __u64,
    pub ind_offset: __u64,
    pub summary_offset: __u32,
    pub adapter_id: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_s390_adapter"]
        [::core::mem::size_of::<kvm_irq_routing_s390_adapter>() - 32usize];
    ["Alignment of kvm_irq_routing_s390_adapter"]
        [::core::mem::align_of::<kvm_irq_routing_s390_adapter>() - 8usize];
    ["Offset of field: kvm_irq_routing_s390_adapter::ind_addr"]
        [::core::mem::offset_of!(kvm_irq_routing_s390_adapter, ind_addr) - 0usize];
    ["Offset of field: kvm_irq_routing_s390_adapter::summary_addr"]
        [::core::mem::offset_of!(kvm_irq_routing_s390_adapter, summary_addr) - 8usize];
    ["Offset of field: kvm_irq_routing_s390_adapter::ind_offset"]
        [::core::mem::offset_of!(kvm_irq_routing_s390_adapter, ind_offset) - 16usize];
    ["Offset of field: kvm_irq_routing_s390_adapter::summary_offset"]
        [::core::mem::offset_of!(kvm_irq_routing_s390_adapter, summary_offset) - 24usize];
    ["Offset of field: kvm_irq_routing_s390_adapter::adapter_id"]
        [::core::mem::offset_of!(kvm_irq_routing_s390_adapter, adapter_id) - 28usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_irq_routing_hv_sint {
    pub vcpu: __u32,
    pub sint: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_hv_sint"][::core::mem::size_of::<kvm_irq_routing_hv_sint>() - 8usize];
    ["Alignment of kvm_irq_routing_hv_sint"][::core::mem::align_of::<kvm_irq_routing_hv_sint>() - 4usize];
    ["Offset of field: kvm_irq_routing_hv_sint::vcpu"]
        [::core::mem::offset_of!(kvm_irq_routing_hv_sint, vcpu) - 0usize];
    ["Offset of field: kvm_irq_routing_hv_sint::sint"]
        [::core::mem::offset_of!(kvm_irq_routing_hv_sint, sint) - 4usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_irq_routing_xen_evtchn {
    pub port: __u32,
    pub vcpu: __u32,
    pub priority: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_xen_evtchn"][::core::mem::size_of::<kvm_irq_routing_xen_evtchn>() - 12usize];
    ["Alignment of kvm_irq_routing_xen_evtchn"]
        [::core::mem::align_of::<kvm_irq_routing_xen_evtchn>() - 4usize];
    ["Offset of field: kvm_irq_routing_xen_evtchn::port"]
        [::core::mem::offset_of!(kvm_irq_routing_xen_evtchn, port) - 0usize];
    ["Offset of field: kvm_irq_routing_xen_evtchn::vcpu"]
        [::core::mem::offset_of!(kvm_irq_routing_xen_evtchn, vcpu) - 4usize];
    ["Offset of field: kvm_irq_routing_xen_evtchn::priority"]
        [::core::mem::offset_of!(kvm_irq_routing_xen_evtchn, priority) - 8usize];
};
#[repr(C)]
#[derive(Copy, Clone)]
pub struct kvm_irq_routing_entry {
    pub gsi: __u32,
    pub type_: __u32,
    pub flags: __u32,
    pub pad: __u32,
    pub u: kvm_irq_routing_entry__bindgen_ty_1,
}
#[repr(C)]
#[derive(Copy, Clone)]
pub union kvm_irq_routing_entry__bindgen_ty_1 {
    pub irqchip: kvm_irq_routing_irqchip,
    pub msi: kvm_irq_routing_msi,
    pub adapter: kvm_irq_routing_s390_adapter,
    pub hv_sint: kvm_irq_routing_hv_sint,
    pub xen_evtchn: kvm_irq_routing_xen_evtchn,
    pub pad: [__u32; 8usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_entry__bindgen_ty_1"]
        [::core::mem::size_of::<kvm_irq_routing_entry__bindgen_ty_1>() - 32usize];
    ["Alignment of kvm_irq_routing_entry__bindgen_ty_1"]
        [::core::mem::align_of::<kvm_irq_routing_entry__bindgen_ty_1>() - 8usize];
    ["Offset of field: kvm_irq_routing_entry__bindgen_ty_1::irqchip"]
        [::core::mem::offset_of!(kvm_irq_routing_entry__bindgen_ty_1, irqchip) - 0usize];
    ["Offset of field: kvm_irq_routing_entry__bindgen_ty_1::msi"]
        [::core::mem::offset_of!(kvm_irq_routing_entry__bindgen_ty_1, msi) - 0usize];
    ["Offset of field: kvm_irq_routing_entry__bindgen_ty_1::adapter"]
        [::core::mem::offset_of!(kvm_irq_routing_entry__bindgen_ty_1, adapter) - 0usize];
    ["Offset of field: kvm_irq_routing_entry__bindgen_ty_1::hv_sint"]
        [::core::mem::offset_of!(kvm_irq_routing_entry__bindgen_ty_1, hv_sint) - 0usize];
    ["Offset of field: kvm_irq_routing_entry__bindgen_ty_1::xen_evtchn"]
        [::core::mem::offset_of!(kvm_irq_routing_entry__bindgen_ty_1, xen_evtchn) - 0usize];
    ["Offset of field: kvm_irq_routing_entry__bindgen_ty_1::pad"]
        [::core::mem::offset_of!(kvm_irq_routing_entry__bindgen_ty_1, pad) - 0usize];
};
impl Default for kvm_irq_routing_entry__bindgen_ty_1 {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing_entry"][::core::mem::size_of::<kvm_irq_routing_entry>() - 48usize];
    ["Alignment of kvm_irq_routing_entry"][::core::mem::align_of::<kvm_irq_routing_entry>() - 8usize];
    ["Offset of field: kvm_irq_routing_entry::gsi"]
        [::core::mem::offset_of!(kvm_irq_routing_entry, gsi) - 0usize];
    ["Offset of field: kvm_irq_routing_entry::type_"]
        [::core::mem::offset_of!(kvm_irq_routing_entry, type_) - 4usize];
    ["Offset of field: kvm_irq_routing_entry::flags"]
        [::core::mem::offset_of!(kvm_irq_routing_entry, flags) - 8usize];
    ["Offset of field: kvm_irq_routing_entry::pad"]
        [::core::mem::offset_of!(kvm_irq_routing_entry, pad) - 12usize];
    ["Offset of field: kvm_irq_routing_entry::u"]
        [::core::mem::offset_of!(kvm_irq_routing_entry, u) - 16usize];
};
impl Default for kvm_irq_routing_entry {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
pub struct kvm_irq_routing {
    pub nr: __u32,
    pub flags: __u32,
    pub entries: __IncompleteArrayField<kvm_irq_routing_entry>,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irq_routing"][::core::mem::size_of::<kvm_irq_routing>() - 8usize];
    ["Alignment of kvm_irq_routing"][::core::mem::align_of::<kvm_irq_routing>() - 8usize];
    ["Offset of field: kvm_irq_routing::nr"][::core::mem::offset_of!(kvm_irq_routing, nr) - 0usize];
    ["Offset of field: kvm_irq_routing::flags"][::core::mem::offset_of!(kvm_irq_routing, flags) - 4usize];
    ["Offset of field: kvm_irq_routing::entries"][::core::mem::offset_of!(kvm_irq_routing, entries) - 8usize];
};
impl Default for kvm_irq_routing {
    fn default() -> Self {
        let mut s = ::core::mem::MaybeUninit::<Self>::uninit();
        unsafe {
            ::core::ptr::write_bytes(s.as_mut_ptr(), 0, 1);
            s.assume_init()
        }
    }
}
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_irqfd {
    pub fd: __u32,
    pub gsi: __u32,
    pub flags: __u32,
    pub resamplefd: __u32,
    pub pad: [__u8; 16usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_irqfd"][::core::mem::size_of::<kvm_irqfd>() - 32usize];
    ["Alignment of kvm_irqfd"][::core::mem::align_of::<kvm_irqfd>() - 4usize];
    ["Offset of field: kvm_irqfd::fd"][::core::mem::offset_of!(kvm_irqfd, fd) - 0usize];
    ["Offset of field: kvm_irqfd::gsi"][::core::mem::offset_of!(kvm_irqfd, gsi) - 4usize];
    ["Offset of field: kvm_irqfd::flags"][::core::mem::offset_of!(kvm_irqfd, flags) - 8usize];
    ["Offset of field: kvm_irqfd::resamplefd"][::core::mem::offset_of!(kvm_irqfd, resamplefd) - 12usize];
    ["Offset of field: kvm_irqfd::pad"][::core::mem::offset_of!(kvm_irqfd, pad) - 16usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_one_reg {
    pub id: __u64,
    pub addr: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_one_reg"][::core::mem::size_of::<kvm_one_reg>() - 16usize];
    ["Alignment of kvm_one_reg"][::core::mem::align_of::<kvm_one_reg>() - 8usize];
    ["Offset of field: kvm_one_reg::id"][::core::mem::offset_of!(kvm_one_reg, id) - 0usize];
    ["Offset of field: kvm_one_reg::addr"][::core::mem::offset_of!(kvm_one_reg, addr) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_create_device {
    pub type_: __u32,
    pub fd: __u32,
    pub flags: __u32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_create_device"][::core::mem::size_of::<kvm_create_device>() - 12usize];
    ["Alignment of kvm_create_device"][::core::mem::align_of::<kvm_create_device>() - 4usize];
    ["Offset of field: kvm_create_device::type_"][::core::mem::offset_of!(kvm_create_device, type_) - 0usize];
    ["Offset of field: kvm_create_device::fd"][::core::mem::offset_of!(kvm_create_device, fd) - 4usize];
    ["Offset of field: kvm_create_device::flags"][::core::mem::offset_of!(kvm_create_device, flags) - 8usize];
};
#[repr(C)]
#[derive(Default, Copy, Clone)]
pub struct kvm_device_attr {
    pub flags: __u32,
    pub group: __u32,
    pub attr: __u64,
    pub addr: __u64,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of kvm_device_attr"][::core::mem::size_of::<kvm_device_attr>() - 24usize];
    ["Alignment of kvm_device_attr"][::core::mem::align_of::<kvm_device_attr>() - 8usize];
    ["Offset of field: kvm_device_attr::flags"][::core::mem::offset_of!(kvm_device_attr, flags) - 0usize];
    ["Offset of field: kvm_device_attr::group"][::core::mem::offset_of!(kvm_device_attr, group) - 4usize];
    ["Offset of field: kvm_device_attr::attr"][::core::mem::offset_of!(kvm_device_attr, attr) - 8usize];
    ["Offset of field: kvm_device_attr::addr"][::core::mem::offset_of!(kvm_device_attr, addr) - 16usize];
};
pub const kvm_device_type_KVM_DEV_TYPE_FSL_MPIC_20: kvm_device_type = 1;
pub const kvm_device_type_KVM_DEV_TYPE_FSL_MPIC_42: kvm_device_type = 2;
pub const kvm_device_type_KVM_DEV_TYPE_XICS: kvm_device_type = 3;
pub const kvm_device_type_KVM_DEV_TYPE_VFIO: kvm_device_type = 4;
pub const kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V2: kvm_device_type = 5;
pub const kvm_device_type_KVM_DEV_TYPE_FLIC: kvm_device_type = 6;
pub const kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_V3: kvm_device_type = 7;
pub const kvm_device_type_KVM_DEV_TYPE_ARM_VGIC_ITS: kvm_device_type = 8;
pub const kvm_device_type_KVM_DEV_TYPE_XIVE: kvm_device_type = 9;
pub const kvm_device_type_KVM_DEV_TYPE_ARM_PV_TIME: kvm_device_type = 10;
pub const kvm_device_type_KVM_DEV_TYPE_MAX: kvm_device_type = 11;
pub type kvm_device_type = ::core::ffi::c_uint;
