//! How many requests of a user count: no more than the most active of the others have. Pure.
//!
//! Evidence is gathered by groups of users, and one user with a tenth of all traffic would be most of a group. So within
//! a block of time only the first requests of a user count, as many as [`USUAL_SHARE`] of the users have at most, over all arms.
//! The bound is a quantile, so it follows what is usual on a surface, and it is the same for all arms.
//!
//! A block ends after [`BLOCK`], when the share changes, or when there are too many users to remember.

use super::limits::MAX_USERS_IN_BLOCKS;
use super::scope::WindowKey;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// How long requests of a user are counted together.
pub(crate) const BLOCK: Duration = Duration::from_secs(600);
/// The share of users that say how many requests are usual.
const USUAL_SHARE: f64 = 0.99;
/// So many requests of a user count in any case: who looks at some pages is no heavy user.
pub(crate) const ALWAYS_COUNTED: u32 = 8;

/// Blocks of all trials at each of their shares.
#[derive(Debug, Default)]
pub(crate) struct Blocks(BTreeMap<WindowKey, Block>);

/// The requests of one trial at one share. Which of them count is decided apart for each part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    /// When it began, in µs.
    began_micros: u64,
    /// Requests that callers got an answer to.
    pub(crate) live: RequestShare,
    /// Requests that both variants answered again.
    pub(crate) mirrored: RequestShare,
    /// Requests whose answer was interleaved.
    pub(crate) interleaved: RequestShare,
    /// Answers of other routers that something came of.
    pub(crate) elsewhere: RequestShare,
}

/// How often users have asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestShare {
    users: HashMap<u64, Asked>,
    /// How many users have asked so often.
    by_requests: BTreeMap<u32, u32>,
}

/// The requests of one user.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    requests: u32,
    counted: u32,
}

impl Blocks {
    /// Ends what is over.
    pub(crate) fn expire(&mut self, now_micros: u64) {
        let since = now_micros.saturating_sub(BLOCK.as_micros() as u64);
        self.0.retain(|_, block| block.began_micros >= since);
        if self.0.values().map(Block::users).sum::<usize>() > MAX_USERS_IN_BLOCKS {
            self.0.clear();
        }
    }

    /// Takes a block out, a new one if there is none. [`Blocks::put`] brings it back.
    pub(crate) fn take(&mut self, key: &WindowKey, now_micros: u64) -> Block {
        let fresh = || Block { began_micros: now_micros, ..Block::default() };
        self.0.remove(key).unwrap_or_else(fresh)
    }

    /// Brings a block back.
    pub(crate) fn put(&mut self, key: &WindowKey, block: Block) {
        self.0.insert(key.clone(), block);
    }
}

impl Block {
    fn users(&self) -> usize {
        [&self.live, &self.mirrored, &self.interleaved, &self.elsewhere]
            .map(|share| share.users.len())
            .iter()
            .sum()
    }
}

impl RequestShare {
    /// One more request of the user with this hash.
    pub(crate) fn record(&mut self, user: u64) {
        let asked = self.users.entry(user).or_default();
        if let Some(users) = self.by_requests.get_mut(&asked.requests) {
            *users -= 1;
            if *users == 0 {
                self.by_requests.remove(&asked.requests);
            }
        }
        asked.requests = asked.requests.saturating_add(1);
        *self.by_requests.entry(asked.requests).or_insert(0) += 1;
    }

    /// How many requests of a user count so far. The quantile is the user below, so that of few users one does not
    /// set its own bound.
    pub(crate) fn limit(&self) -> u32 {
        let Some(last) = self.users.len().checked_sub(1) else { return ALWAYS_COUNTED };
        let above = last - (last as f64 * USUAL_SHARE) as usize;
        let mut seen = 0;
        let most_first = self.by_requests.iter().rev();
        let usual = most_first.map(|(&requests, &users)| {
            seen += users as usize;
            (requests, seen)
        });
        let usual = usual.into_iter().find(|&(_, seen)| seen > above);
        usual.map_or(ALWAYS_COUNTED, |(requests, _)| requests.max(ALWAYS_COUNTED))
    }

    /// Whether another recorded request of the user counts, where so many do.
    pub(crate) fn admit(&mut self, user: u64, limit: u32) -> bool {
        let asked = self.users.entry(user).or_default();
        let counts = asked.counted < limit;
        asked.counted += u32::from(counts);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::rollout::window::Scope;

    /// Counts a stretch of requests; gives how many of each user were counted, sum by user.
    fn count(share: &mut RequestShare, users: &[u64], counted: &mut HashMap<u64, u32>) {
        users.iter().for_each(|&user| share.record(user));
        let limit = share.limit();
        for &user in users {
            *counted.entry(user).or_insert(0) += u32::from(share.admit(user, limit));
        }
    }

    #[test]
    fn a_user_with_a_tenth_of_all_traffic_weighs_as_much_as_the_most_active_others() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut share = RequestShare::default();
        let (mut counted, mut asked) = (HashMap::new(), HashMap::<u64, u32>::new());
        // 300 windows of a hundred requests, of which ten are of one user. The others come about as often as Zipf says.
        for _ in 0..300 {
            let mut users: Vec<u64> =
                (0..90).map(|_| (2_000.0 * rng.f64().powi(2)) as u64).collect();
            users.extend([u64::MAX; 10]);
            users.iter().for_each(|&user| *asked.entry(user).or_insert(0) += 1);
            count(&mut share, &users, &mut counted);
        }
        assert_eq!(asked.remove(&u64::MAX), Some(3_000));
        let heavy = counted.remove(&u64::MAX).expect("some of them count");
        let mut others: Vec<u32> = asked.values().copied().collect();
        others.sort_unstable();
        let most_active = others[others.len() * 99 / 100];
        assert!(heavy.abs_diff(most_active) <= 2, "{heavy}, others {most_active}");
        // Nearly all that the others ask counts.
        let (all, of_them) = (asked.values().sum::<u32>(), counted.values().sum::<u32>());
        assert!(f64::from(of_them) > 0.9 * f64::from(all), "{of_them} of {all}");
        assert!(f64::from(heavy) < 0.01 * f64::from(of_them), "{heavy} of {of_them}");
    }

    #[test]
    fn where_all_users_are_alike_all_of_their_requests_count() {
        for users in [1_u64, 2, 7, 500] {
            let mut share = RequestShare::default();
            let mut counted = HashMap::new();
            for _ in 0..20 {
                let requests: Vec<u64> = (0..3).flat_map(|_| 0..users).collect();
                count(&mut share, &requests, &mut counted);
            }
            assert_eq!(counted.values().sum::<u32>() as u64, 60 * users, "{users} users");
        }
    }

    #[test]
    fn of_a_few_users_the_most_active_does_not_set_the_bound() {
        let mut share = RequestShare::default();
        let mut counted = HashMap::new();
        let few = [vec![9_u64; 500], vec![1; 20], vec![2; 3], vec![3; 2]].concat();
        count(&mut share, &few, &mut counted);
        assert_eq!(counted, HashMap::from([(9, 20), (1, 20), (2, 3), (3, 2)]));
        assert_eq!(RequestShare::default().limit(), ALWAYS_COUNTED);
        // The first user of a block has so many in any case.
        let mut share = RequestShare::default();
        count(&mut share, &[vec![1; 20], (10..60).collect()].concat(), &mut counted);
        assert_eq!(counted[&1], 20 + ALWAYS_COUNTED);
    }

    #[test]
    fn blocks_end() {
        let key = |weight_basis_points| WindowKey {
            scope: Scope::Trial("t".into()),
            arms: 2,
            weight_basis_points,
        };
        let asked = |block: Block| block.live.users.len();
        let mut blocks = Blocks::default();
        let mut block = blocks.take(&key(100), 5);
        (0..10).for_each(|user| block.live.record(user));
        blocks.put(&key(100), block);
        assert_eq!(asked(blocks.take(&key(200), 6)), 0, "another share");
        let mut block = blocks.take(&key(100), 6);
        assert_eq!(asked(block.clone()), 10);
        blocks.put(&key(100), block.clone());
        blocks.expire(5 + BLOCK.as_micros() as u64);
        assert_eq!(asked(blocks.take(&key(100), 6)), 10);
        blocks.put(&key(100), block.clone());
        blocks.expire(6 + BLOCK.as_micros() as u64);
        assert_eq!(asked(blocks.take(&key(100), 6)), 0, "it is over");
        (0..=MAX_USERS_IN_BLOCKS as u64).for_each(|user| block.mirrored.record(user));
        blocks.put(&key(100), block);
        blocks.expire(7);
        assert_eq!(asked(blocks.take(&key(100), 6)), 0, "there are too many users");
    }
}
