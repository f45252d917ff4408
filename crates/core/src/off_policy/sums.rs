//! The sums that every estimate is a function of, and how it changes with them.

/// How many sums there are.
pub(super) const SUMS: usize = 10;
/// The sums of some answers.
pub(super) type Sums = [f64; SUMS];

/// The place of the number of answers among the sums.
pub(super) const ANSWERS: usize = 0;
/// The place of the rewards as they are in the log.
pub(super) const LOGGED: usize = 9;
/// The places of a policy's sums.
#[derive(Clone, Copy, Debug)]
pub(super) struct PolicySums {
    /// Of weights times rewards.
    pub(super) rewards: usize,
    /// Of weights times the attention of the ranks: what of the policy's lists the log has evidence for.
    pub(super) supported: usize,
    /// Of the attention that the policy's lists get.
    pub(super) attention: usize,
    /// Of doubly robust rewards.
    pub(super) robust: usize,
}

/// The policy that is estimated.
pub(super) const CANDIDATE: PolicySums =
    PolicySums { rewards: 1, supported: 2, attention: 3, robust: 4 };
/// The policy that it is compared with.
pub(super) const BASELINE: PolicySums =
    PolicySums { rewards: 5, supported: 6, attention: 7, robust: 8 };

/// A function of the sums, and its derivative by each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Statistic {
    /// Its value; NaN where it has none.
    pub(super) value: f64,
    /// The derivatives of the value by each of the sums.
    pub(super) gradient: Sums,
}

impl Statistic {
    /// The mean of one sum over answers.
    pub(super) fn mean(sums: &Sums, sum: usize) -> Self {
        let answers = sums[ANSWERS];
        let value = sums[sum] / answers;
        let mut gradient = [0.0; SUMS];
        gradient[sum] = 1.0 / answers;
        gradient[ANSWERS] = -value / answers;
        Self { value, gradient }
    }

    /// The mean reward of a policy's answers as if what has no support earned what the rest does.
    pub(super) fn self_normalised(sums: &Sums, policy: PolicySums) -> Self {
        let PolicySums { rewards, supported, attention, .. } = policy;
        let scale = sums[attention] / (sums[supported] * sums[ANSWERS]);
        let value = sums[rewards] * scale;
        let mut gradient = [0.0; SUMS];
        gradient[rewards] = scale;
        gradient[attention] = value / sums[attention];
        gradient[supported] = -value / sums[supported];
        gradient[ANSWERS] = -value / sums[ANSWERS];
        Self { value, gradient }
    }

    /// `self − other`.
    pub(super) fn minus(self, other: &Self) -> Self {
        let mut gradient = self.gradient;
        gradient.iter_mut().zip(other.gradient).for_each(|(ours, theirs)| *ours -= theirs);
        Self { value: self.value - other.value, gradient }
    }

    /// Its standard error, given the sum of the products of each two sums over so many independent groups
    /// (the delta method; linear in the groups, whose contributions add up to 0).
    pub(super) fn standard_error(&self, products: &[Sums; SUMS], groups: usize) -> f64 {
        let mut variance = 0.0;
        for (row, by) in products.iter().zip(self.gradient) {
            let of_row: f64 = row.iter().zip(self.gradient).map(|(product, by)| product * by).sum();
            variance += by * of_row;
        }
        let groups = groups as f64;
        (variance.max(0.0) * groups / (groups - 1.0).max(1.0)).sqrt()
    }
}

/// Adds the sums of a group, `times` times, to the sums and to the products of each two.
pub(super) fn add(total: &mut Sums, products: &mut [Sums; SUMS], group: &Sums, times: f64) {
    for (place, value) in group.iter().enumerate() {
        let weighted = value * times;
        total[place] += weighted;
        for (product, other) in products[place].iter_mut().zip(group) {
            *product += weighted * other;
        }
    }
}
