//! How the process gives memory back.

/// Blocks from this size on go back to the system when they are freed.
const LARGE: i32 = 128 << 10;

/// Lets large blocks go back to the system at once. By default glibc keeps what was freed for blocks to come, and a
/// network's tensors, each of another size, leave holes that the next ones do not fit: a fifth more memory on
/// MobileNetV2. A call costs page faults, so commands that only run programs do without.
pub fn return_large_blocks() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it sets a number of the allocator, which locks itself; no pointer goes in or out.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
