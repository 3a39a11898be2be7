//! Link arguments of the program and its tests.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    match std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        // KVM on s390x takes only programs whose page tables have room for a guest's.
        Ok("s390x") => {
            println!("cargo:rustc-link-arg-bins=-Wl,--s390-pgste");
            println!("cargo:rustc-link-arg-tests=-Wl,--s390-pgste");
        }
        // Relocations of one bit rather than 24 bytes, all of which a start reads. Debian's linkers know them here only.
        Ok("x86_64") => println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs"),
        _ => {}
    }
}
