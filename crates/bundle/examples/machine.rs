//! What this machine could do at best: the bounds that the hot loops are held against.
//!
//! `cargo run --release -p marquee-bundle --example machine` prints, for one core and for two at
//! once, how fast memory of several sizes is read in order, and how many multiplications of floats
//! and of bytes there are in a second. Other work on the machine only takes, so a try is short, its
//! processor time is what counts, and the best of many tries is printed.

#[cfg(target_arch = "x86_64")]
fn main() {
    if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")) {
        println!("no AVX2 with FMA: nothing is measured");
        return;
    }
    bounds::print();
}

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    println!("only x86-64 is measured");
}

#[cfg(target_arch = "x86_64")]
mod bounds {
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::sync::Barrier;

    /// Tries of each measurement.
    const TRIES: usize = 50;
    /// Bytes read in one try.
    const READ_BYTES: usize = 1 << 27;
    /// Floats of a cache line.
    const LINE: usize = 16;
    /// Steps of one try of arithmetic.
    const STEPS: usize = 2_000_000;
    /// Independent sums: more than any machine's latency × units.
    const CHAINS: usize = 12;

    pub(super) fn print() {
        println!("{}", name());
        // A multiplication waits three cycles for the one before, on all that is sold today.
        let clock = best(1, 3.0 * STEPS as f64, |_| chain(STEPS));
        println!("clock: about {clock:.2} GHz, of one multiplication after another in 3 cycles");
        for threads in [1, 2] {
            println!("on {threads} core(s):");
            for (label, bytes) in [
                ("32 KiB", 1 << 15),
                ("256 KiB", 1 << 18),
                ("4 MiB", 1 << 22),
                ("128 MiB", 1 << 27),
            ] {
                let arrays: Vec<_> = (0..threads).map(|_| vec![1.0f32; bytes / 4 + LINE]).collect();
                let passes = READ_BYTES / bytes;
                let speed = best(threads, (READ_BYTES * threads) as f64, |thread| {
                    // Loads that cross cache lines would count twice.
                    let array: &[f32] = &arrays[thread];
                    let array = &array[array.as_ptr().align_offset(64)..][..bytes / 4];
                    for _ in 0..passes {
                        // SAFETY: the machine has AVX2, or main had ended.
                        black_box(unsafe { sum(black_box(array)) });
                    }
                });
                println!("  read {label:>8} over and over: {speed:7.1} GB/s");
            }
            let products = (STEPS * CHAINS * 8 * threads) as f64;
            // SAFETY: the machine has AVX2 and FMA, or main had ended.
            let speed = best(threads, products, |_| unsafe { multiply_floats(STEPS) });
            println!("  f32 multiply-adds:   {speed:7.1} billion/s");
            let products = (STEPS * CHAINS * 32 * threads) as f64;
            // SAFETY: as above.
            let speed = best(threads, products, |_| unsafe { multiply_bytes(STEPS) });
            println!("  int8 multiply-adds:  {speed:7.1} billion/s (maddubs, madd, add)");
        }
    }

    fn name() -> String {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("model name"));
        line.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor").to_owned()
    }

    /// Billions a second of `count` things that all threads do together, in the best of all tries.
    fn best(threads: usize, count: f64, work: impl Fn(usize) + Sync) -> f64 {
        let mut least = f64::INFINITY;
        for _ in 0..TRIES {
            let barrier = Barrier::new(threads);
            let seconds = std::thread::scope(|scope| {
                let one = |thread| {
                    let (barrier, work) = (&barrier, &work);
                    scope.spawn(move || {
                        barrier.wait();
                        let start = cpu_time::ThreadTime::now();
                        work(thread);
                        start.elapsed().as_secs_f64()
                    })
                };
                let all: Vec<_> = (0..threads).map(one).collect();
                all.into_iter().map(|one| one.join().expect("measured")).fold(0.0, f64::max)
            });
            least = least.min(seconds);
        }
        count / least / 1e9
    }

    fn chain(steps: usize) {
        let mut x = black_box(3u64);
        for _ in 0..steps {
            x = x.wrapping_mul(x);
        }
        black_box(x);
    }

    /// Adds in 64 sums: eight registers, which the compiler keeps.
    #[target_feature(enable = "avx2")]
    fn sum(values: &[f32]) -> [f32; 64] {
        let mut sums = [0.0f32; 64];
        for values in values.chunks_exact(64) {
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        }
        sums
    }

    #[target_feature(enable = "avx2,fma")]
    fn multiply_floats(steps: usize) {
        let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(0.001)));
        let mut sums = [_mm256_set1_ps(1.0); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    /// Each sum is a factor of its next product, so that none can be taken out of the loop.
    #[target_feature(enable = "avx2")]
    fn multiply_bytes(steps: usize) {
        let (bytes, ones) = (_mm256_set1_epi8(black_box(3)), _mm256_set1_epi16(black_box(1)));
        let mut sums = [_mm256_set1_epi32(1); CHAINS];
        for _ in 0..steps {
            for sum in &mut sums {
                let pairs = _mm256_maddubs_epi16(*sum, bytes);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        black_box(sums);
    }
}
