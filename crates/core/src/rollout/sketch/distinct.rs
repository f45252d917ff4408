//! How many different things there were.

/// Bits of a hash that choose a register.
const PRECISION: u32 = 10;
/// Registers of a [`Distinct`]: its standard error is 1.04/√1024, or 3 %.
pub const REGISTERS: usize = 1 << PRECISION;
/// The most that a register can be: one more than the bits of a hash that choose none.
pub const MAX_REGISTER: u8 = (64 - PRECISION + 1) as u8;

/// Estimates how many different things there were: a HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distinct {
    /// Empty, or [`REGISTERS`] numbers up to [`MAX_REGISTER`].
    registers: Vec<u8>,
}

impl Distinct {
    /// A sketch of these registers, as [`Self::registers`] gave them; none if they cannot be registers.
    pub fn of_registers(registers: Vec<u8>) -> Option<Self> {
        let is_whole = registers.is_empty() || registers.len() == REGISTERS;
        if is_whole && registers.iter().all(|&register| register <= MAX_REGISTER) {
            Some(Self { registers })
        } else {
            None
        }
    }

    /// The registers: empty, or [`REGISTERS`] numbers up to [`MAX_REGISTER`].
    pub fn registers(&self) -> &[u8] {
        &self.registers
    }

    /// Adds one thing, by a hash of 64 evenly spread bits.
    pub fn add(&mut self, hash: u64) {
        if self.registers.is_empty() {
            self.registers = vec![0; REGISTERS];
        }
        let rest = hash << PRECISION;
        let rank = (rest.leading_zeros() as u8 + 1).min(MAX_REGISTER);
        let register = &mut self.registers[(hash >> (64 - PRECISION)) as usize];
        *register = rank.max(*register);
    }

    /// Adds another sketch: what is in both counts once.
    pub fn absorb(&mut self, other: &Self) {
        if self.registers.is_empty() {
            self.registers.clone_from(&other.registers);
        }
        for (mine, &theirs) in self.registers.iter_mut().zip(&other.registers) {
            *mine = theirs.max(*mine);
        }
    }

    /// How many there were, about: the improved raw estimator (Ertl, "New cardinality estimation algorithms
    /// for HyperLogLog sketches", 2017, algorithm 6), which needs no corrections for few or many.
    pub fn estimate(&self) -> f64 {
        if self.registers.is_empty() {
            return 0.0;
        }
        let m = REGISTERS as f64;
        let mut counts = [0.0; MAX_REGISTER as usize + 1];
        for &register in &self.registers {
            counts[usize::from(register)] += 1.0;
        }
        let mut z = m * tau(1.0 - counts[usize::from(MAX_REGISTER)] / m);
        for &count in counts[1..usize::from(MAX_REGISTER)].iter().rev() {
            z = 0.5 * (z + count);
        }
        z += m * sigma(counts[0] / m);
        m * m / (2.0 * std::f64::consts::LN_2 * z)
    }
}

/// `x + Σ x^(2^k)·2^(k-1)`, infinite at 1.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// `(1 - x - Σ (1 - x^(2^-k))²·2^-k) / 3`.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
