//! Kernels that are written once, in plain Rust, and compiled for each instruction set: the compiler makes
//! vectors of them. As each is one sequence of single operations an element, all sets give the same bits.

use super::constants::LEVELS;

/// Vectors of a group, column by column, for [`dot_lanes`].
pub const DOT_LANES: usize = 32;

/// From here to twice as much, `f32` has one number for each whole number.
const ONE_A_BIT: f32 = (1 << 23) as f32;

/// Compiles a function for each instruction set, and has calls pick one at run time.
macro_rules! compiled_for_each_set {
    ($(
        $(#[$attribute:meta])*
        fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    )*) => {$(
        $(#[$attribute])*
        #[inline]
        pub(crate) fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn written($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx2,fma,popcnt")]
            fn avx512($($argument: $type),*) $(-> $result)? { written($($argument),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? { written($($argument),*) }
            use $crate::kernels::detect::InstructionSet;
            match $crate::kernels::detect::instruction_set() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: the set was detected on this very machine.
                InstructionSet::Avx512 => unsafe { avx512($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                InstructionSet::Avx2 => unsafe { avx2($($argument),*) },
                _ => written($($argument),*),
            }
        }
    )*};
}

compiled_for_each_set! {
    /// `out[i] ← ⟨query, vector i⟩` for vectors that lie in groups of [`DOT_LANES`], each of which
    /// has the first column of all its vectors, then the second, and so on. Of what is left over of
    /// a group nothing is read.
    fn dot_lanes(query: &[f32], groups: &[f32], out: &mut [f32]) {
        let groups = groups.chunks_exact(DOT_LANES * query.len().max(1));
        for (group, out) in groups.zip(out.as_chunks_mut::<DOT_LANES>().0) {
            // Even and odd columns apart, for one sum would wait for itself.
            let mut sums = [[0f32; DOT_LANES]; 2];
            let (columns, _) = group.as_chunks::<DOT_LANES>();
            let (pairs, last) = columns.as_chunks::<2>();
            let (values, last_value) = query.as_chunks::<2>();
            for (columns, values) in pairs.iter().zip(values) {
                for half in 0..2 {
                    for lane in 0..DOT_LANES {
                        let sum = &mut sums[half][lane];
                        *sum = values[half].mul_add(columns[half][lane], *sum);
                    }
                }
            }
            for (column, value) in last.iter().zip(last_value) {
                for lane in 0..DOT_LANES {
                    sums[0][lane] = value.mul_add(column[lane], sums[0][lane]);
                }
            }
            for lane in 0..DOT_LANES {
                out[lane] = sums[0][lane] + sums[1][lane];
            }
        }
    }

    /// `tables[c][l] ← (query[c] · levels[c][l] − lowest[c]) · per_step`, rounded, and at most `most`.
    fn whole_products(
        query: &[f32],
        levels: &[[f32; LEVELS]],
        lowest: &[f32],
        per_step: f32,
        most: f32,
        tables: &mut [[u8; LEVELS]],
    ) {
        let columns = query.iter().zip(levels).zip(lowest);
        for (((&value, levels), &lowest), table) in columns.zip(tables) {
            let mut bits = [0u32; LEVELS];
            for level in 0..LEVELS {
                let steps = (value * levels[level] - lowest) * per_step;
                let steps = if steps < most { steps } else { most };
                // Rounds to a whole number, which is then in the last bits.
                bits[level] = (steps + ONE_A_BIT).to_bits();
            }
            for level in 0..LEVELS {
                table[level] = bits[level] as u8;
            }
        }
    }

    /// The least and the greatest of the scores; infinities of none.
    fn least_and_greatest(scores: &[f32]) -> (f32, f32) {
        let (mut least, mut greatest) = ([f32::INFINITY; 16], [f32::NEG_INFINITY; 16]);
        let (sixteens, rest) = scores.as_chunks::<16>();
        for scores in sixteens {
            for lane in 0..16 {
                let score = scores[lane];
                least[lane] = if score < least[lane] { score } else { least[lane] };
                greatest[lane] = if score > greatest[lane] { score } else { greatest[lane] };
            }
        }
        let finite = least.iter().chain(&greatest).chain(rest).filter(|score| score.is_finite());
        finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(least, greatest), &score| {
            (least.min(score), greatest.max(score))
        })
    }

    /// How many of the scores are at least `bar`.
    fn count_at_least(scores: &[f32], bar: f32) -> usize {
        scores.iter().map(|&score| u32::from(score >= bar)).sum::<u32>() as usize
    }
}

pub(crate) use compiled_for_each_set;
