//! Link arguments of the program and its tests.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // KVM on s390x takes only programs whose page tables have room for a guest's.
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("s390x") {
        println!("cargo:rustc-link-arg-bins=-Wl,--s390-pgste");
        println!("cargo:rustc-link-arg-tests=-Wl,--s390-pgste");
    }
}
