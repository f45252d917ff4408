//! Which instruction set this process uses.

use std::sync::atomic::{AtomicU8, Ordering};

/// The instruction sets that the kernels are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum InstructionSet {
    /// Plain Rust. Slow on a machine without fused multiply-add, correct everywhere.
    Portable = 1,
    /// 256-bit registers with fused multiply-add, of x86-64 since 2013.
    Avx2 = 2,
    /// 512-bit registers of x86-64, with words and bytes in them (AVX-512F and BW): every processor that has
    /// such registers but the first, Knights Landing.
    Avx512 = 3,
    /// 128-bit registers, of every 64-bit ARM.
    Neon = 4,
}

/// Set to `portable` or `avx2`, keeps this process from using wider instructions than these: for measuring
/// them side by side, and for machines whose clock suffers from wide registers.
const NO_WIDER_THAN: &str = "MARQUEE_INSTRUCTIONS";

/// The instruction set that this process uses, detected once.
pub fn instruction_set() -> InstructionSet {
    static DETECTED: AtomicU8 = AtomicU8::new(0);
    match DETECTED.load(Ordering::Relaxed) {
        1 => InstructionSet::Portable,
        2 => InstructionSet::Avx2,
        3 => InstructionSet::Avx512,
        4 => InstructionSet::Neon,
        _ => {
            let detected = detect();
            DETECTED.store(detected as u8, Ordering::Relaxed);
            detected
        }
    }
}

fn detect() -> InstructionSet {
    let no_wider_than = std::env::var(NO_WIDER_THAN).unwrap_or_default();
    if no_wider_than == "portable" {
        return InstructionSet::Portable;
    }
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("popcnt");
        let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        if avx2 && avx512 && no_wider_than != "avx2" {
            return InstructionSet::Avx512;
        }
        if avx2 {
            return InstructionSet::Avx2;
        }
    }
    #[cfg(target_arch = "aarch64")]
    if std::arch::is_aarch64_feature_detected!("neon") {
        return InstructionSet::Neon;
    }
    InstructionSet::Portable
}
