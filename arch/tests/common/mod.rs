//! What the tests that need a host's KVM have in common.
#![allow(dead_code, reason = "no ISA's tests use all of it")]

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use triarch_arch::hv::{Exit, VcpuState};
use triarch_arch::kvm::{DEVICE, Host, Vcpu, install_kick_handler};

/// How long an emulated host may take for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The host's KVM, or `None` where tests can go without.
pub fn host() -> Option<Host> {
    match Host::open(Path::new(DEVICE)) {
        Ok(host) => Some(host),
        Err(error) => {
            let off = std::env::var("TRIARCH_KVM_TESTS").is_ok_and(|v| v == "off");
            let ci = std::env::var("CI").is_ok_and(|v| v == "true");
            assert!(off || !ci, "no KVM, though CI=true and TRIARCH_KVM_TESTS is not off: {error}");
            eprintln!("SKIPPED: no KVM: {error}");
            None
        }
    }
}

/// Runs until the vCPU has something to say.
#[allow(unused_macros, reason = "as above")]
macro_rules! run {
    ($vcpu:expr) => {
        loop {
            match $vcpu.run().unwrap() {
                triarch_arch::hv::Exit::Resume => {}
                exit => break exit,
            }
        }
    };
}
#[allow(unused_imports, reason = "as above")]
pub(crate) use run;

/// Runs `vcpu` on a thread of its own until it is kicked out, `after` it has started. It must not exit otherwise.
pub fn run_until_kicked(mut vcpu: Vcpu, after: Duration) -> Vcpu {
    install_kick_handler().unwrap();
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        send.send(vcpu.bind_thread()).unwrap();
        let exit = run!(vcpu);
        assert!(matches!(exit, Exit::Interrupted), "{exit:?}");
        vcpu
    });
    let kicker = receive.recv().unwrap();
    thread::sleep(after);
    kicker.kick();
    thread.join().unwrap()
}

/// Runs `vcpu` in short pieces until its state is as `enough` says: how soon a thread gets to run the guest is the host's affair.
pub fn run_until(mut vcpu: Vcpu, enough: impl Fn(&VcpuState) -> bool) -> Vcpu {
    let started = Instant::now();
    loop {
        vcpu = run_until_kicked(vcpu, Duration::from_millis(20));
        let state = vcpu.save().unwrap();
        if enough(&state) {
            return vcpu;
        }
        assert!(started.elapsed() < PATIENCE, "the guest does not get there: {state:x?}");
    }
}
