//! The `triarch` command.

use std::process::ExitCode;

/// One heap for all threads, which asks the kernel for little and seldom: glibc's has a heap for each thread, and musl's a mapping
/// for each kind of block, made and ended with it.
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    triarch::cli::main()
}
