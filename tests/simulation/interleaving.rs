//! How many answers it takes to find a worse list: interleaved with the baseline's, and against it in an A/B stage.
//!
//! A world of clicks: users have preferences, and items are liked for their kind and because they are popular. A model knows
//! both but for an error of its own for each user and item. Users look at the first places more often than at the others and click
//! what they like; they differ in how often they come and in how readily they click. Both stages are judged by the gates that
//! rollouts have by default, window by window.

use super::rollouts::rollouts_and_seed;
use marquee_core::plan::assignment::bucket;
use marquee_core::ranking::interleave::{Interleaving, Side, interleave};
use marquee_core::rollout::gate::{Bound, DEFAULT_PREFERENCE, Gate, Metric, default_gates};
use marquee_core::rollout::judge::{Evidence, Verdict, judge_rollout};
use marquee_core::rollout::window::{Measure, Window, group_of};
use marquee_core::rollout::{Rollout, RolloutState, RolloutStep, Terms};

const USERS: usize = 3_000;
const ITEMS: usize = 300;
const KINDS: usize = 6;
/// Items of an answer.
const LISTED: usize = 10;
/// Answers of a window.
const WINDOW_ANSWERS: usize = 200;
/// Half of the users get the candidate in the A/B stage: then it needs the fewest answers.
const HALF_BASIS_POINTS: u32 = 5_000;
/// How readily the average user clicks what is liked: a list gets a click in five.
const READINESS: f64 = 0.2;
/// Answers that the average user had before.
const ANSWERS_BEFORE: f64 = 5.0;
/// Answers of the average user that routers add to a user's own when they say what the user did before.
const PRIOR_ANSWERS: f64 = 10.0;
/// What the baseline's model does not know: the standard deviation of its error.
const ERROR: f64 = 0.5;

/// How the candidate's lists differ from the baseline's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// Not at all.
    None,
    /// Another model, whose error has this standard deviation.
    Model(f64),
    /// It leans to what is popular.
    Popular,
    /// One item of ten is any item.
    OneOfTen,
    /// The same items in any order.
    Order,
    /// One item that few like is put before all others.
    BadFirst,
}

struct User {
    bucket: u32,
    group: usize,
    /// Adds up over users to 1, cumulated.
    until: f64,
    /// What the user did before, less the mean of all users.
    before: f64,
    /// The baseline's list and the candidate's.
    lists: [Vec<u32>; 2],
    /// The chance of a click on an item at the first place.
    attraction: Vec<f64>,
}

struct World {
    users: Vec<User>,
    random: fastrand::Rng,
}

/// Normally distributed (Box and Muller 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (u, v) = (1.0 - random.f64(), random.f64());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// The chance that a user looks at a place.
fn looked_at(place: usize) -> f64 {
    (place as f64 + 1.0).powf(-0.8)
}

fn best(scores: &[f64]) -> Vec<u32> {
    let mut items: Vec<u32> = (0..ITEMS as u32).collect();
    items.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
    items.truncate(LISTED);
    items
}

fn clicks_on(list: &[u32], attraction: &[f64]) -> f64 {
    list.iter().enumerate().map(|(place, &item)| looked_at(place) * attraction[item as usize]).sum()
}

impl Change {
    /// The candidate's list. `liked`: how much the user likes each item; `popular`: how much all do.
    fn list(
        self,
        baseline: &[u32],
        liked: &[f64],
        popular: &[f64],
        random: &mut fastrand::Rng,
    ) -> Vec<u32> {
        let mut list = baseline.to_vec();
        let other = |list: &[u32], random: &mut fastrand::Rng| loop {
            let item = random.u32(..ITEMS as u32);
            if !list.contains(&item) {
                return item;
            }
        };
        match self {
            Self::None => {}
            Self::Model(error) => {
                let scores: Vec<f64> =
                    liked.iter().map(|liked| liked + error * normal(random)).collect();
                list = best(&scores);
            }
            Self::Popular => {
                let both = liked.iter().zip(popular);
                let scores: Vec<f64> = both
                    .map(|(liked, popular)| 0.7 * liked + 0.9 * popular + ERROR * normal(random))
                    .collect();
                list = best(&scores);
            }
            Self::OneOfTen => list[random.usize(..LISTED)] = other(baseline, random),
            Self::Order => random.shuffle(&mut list),
            Self::BadFirst => {
                let bad = (0..100).map(|_| other(baseline, random));
                let bad = bad.min_by(|&a, &b| liked[a as usize].total_cmp(&liked[b as usize]));
                list.insert(0, bad.expect("one of a hundred"));
                list.truncate(LISTED);
            }
        }
        list
    }
}

impl World {
    fn new(change: Change, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let vector = |random: &mut fastrand::Rng| -> Vec<f64> {
            (0..KINDS).map(|_| normal(random) / (KINDS as f64).powf(0.25)).collect()
        };
        let items: Vec<Vec<f64>> = (0..ITEMS).map(|_| vector(&mut random)).collect();
        let popular: Vec<f64> = (0..ITEMS).map(|_| 0.7 * normal(&mut random)).collect();
        let mut sum = 0.0;
        let mut users = Vec::with_capacity(USERS);
        for n in 0..USERS {
            let id = format!("{seed:x}-{n}");
            let preference = vector(&mut random);
            let in_common =
                |item: &[f64]| preference.iter().zip(item).map(|(a, b)| a * b).sum::<f64>();
            let liked: Vec<f64> = items
                .iter()
                .zip(&popular)
                .map(|(item, popular)| in_common(item) + popular)
                .collect();
            let readiness = (READINESS * (0.7 * normal(&mut random) - 0.245).exp()).min(1.0);
            let attraction: Vec<f64> =
                liked.iter().map(|liked| readiness / (1.0 + (4.2 - 1.2 * liked).exp())).collect();
            let scores: Vec<f64> =
                liked.iter().map(|liked| liked + ERROR * normal(&mut random)).collect();
            let baseline = best(&scores);
            let candidate = change.list(&baseline, &liked, &popular, &mut random);
            let activity = normal(&mut random).exp();
            sum += activity;
            let answers = (ANSWERS_BEFORE * activity).round();
            let expected = clicks_on(&baseline, &attraction);
            let clicks = (0..answers as u32).filter(|_| random.f64() < expected).count() as f64;
            users.push(User {
                bucket: bucket(&format!("{seed:x}"), &id),
                group: group_of(&id),
                until: sum,
                before: (clicks + PRIOR_ANSWERS * READINESS) / (answers + PRIOR_ANSWERS),
                lists: [baseline, candidate],
                attraction,
            });
        }
        let mean = users.iter().map(|user| user.before).sum::<f64>() / USERS as f64;
        for user in &mut users {
            user.until /= sum;
            user.before -= mean;
        }
        Self { users, random }
    }

    /// The candidate's clicks for each answer, as a multiple of the baseline's.
    fn worth(&self) -> f64 {
        let mut from = 0.0;
        let mut clicks = [0.0; 2];
        for user in &self.users {
            let activity = user.until - from;
            from = user.until;
            for (clicks, list) in clicks.iter_mut().zip(&user.lists) {
                *clicks += activity * clicks_on(list, &user.attraction);
            }
        }
        clicks[1] / clicks[0]
    }

    fn draw(&mut self) -> usize {
        let at = self.random.f64();
        self.users.partition_point(|user| user.until < at).min(USERS - 1)
    }

    /// Interleaved answers and the clicks on them.
    fn interleaved(&mut self, how: Interleaving) -> Window {
        let mut window = Window::new(2);
        for _ in 0..WINDOW_ANSWERS {
            let n = self.draw();
            let Self { users, random } = self;
            let user = &users[n];
            let lists = user.lists.each_ref().map(|list| &list[..]);
            let answer = interleave(lists, LISTED, how, || random.bool());
            window.interleaved.answers += 1;
            for (place, listed) in answer.into_iter().enumerate() {
                let item = lists[listed.side as usize][listed.place];
                let chance = looked_at(place) * user.attraction[item as usize];
                if random.f64() < chance
                    && let Some(side) = listed.credited
                {
                    let value = f64::from(u8::from(side == Side::Candidate));
                    window.interleaved.clicks.add(user.group, value);
                }
            }
        }
        window
    }

    /// Answers of both variants, and the clicks on them.
    fn split(&mut self) -> Window {
        let mut window = Window::new(2);
        for _ in 0..WINDOW_ANSWERS {
            let n = self.draw();
            let Self { users, random } = self;
            let user = &users[n];
            let arm = usize::from(user.bucket < HALF_BASIS_POINTS);
            let chances = user.lists[arm].iter().enumerate();
            let clicks = chances
                .filter(|&(place, &item)| {
                    random.f64() < looked_at(place) * user.attraction[item as usize]
                })
                .count();
            let stats = &mut window.arms[arm];
            stats.measure(Measure::Failed, user.group, 0.0);
            stats.measure(Measure::Clicks, user.group, clicks as f64);
            stats.measure(Measure::ClicksBefore, user.group, user.before);
        }
        window
    }
}

/// After how many answers a gate is breached; none if it is not by `most`.
fn answers_until_breach(
    gate: Gate,
    weight_basis_points: u32,
    most: usize,
    mut window: impl FnMut() -> Window,
) -> Option<usize> {
    let terms = Terms { gates: vec![gate], ..Terms::unguarded() };
    let steps = vec![RolloutStep::new(HALF_BASIS_POINTS, 60)];
    let baseline = Some("films@1".into());
    let mut rollout =
        Rollout::start("home-1".into(), "home".into(), baseline, "films@2".into(), steps, terms, 0);
    if weight_basis_points > 0 {
        rollout.state = RolloutState::Canary;
        rollout.resumes_to = rollout.state;
        rollout.step = Some(0);
    }
    let mut evidence = Evidence::default();
    for windows in 1..=most / WINDOW_ANSWERS {
        let window = window();
        let judgement = judge_rollout(&rollout, &evidence, weight_basis_points, &window);
        evidence.absorb(&rollout, weight_basis_points, &window);
        (evidence.gates, evidence.split) = (judgement.gates, judgement.split);
        if evidence.gates[0].verdict == Verdict::Breached {
            return Some(windows * WINDOW_ANSWERS);
        }
    }
    None
}

fn preference_gate() -> Gate {
    Gate::new(Metric::Preference, Bound::Min(DEFAULT_PREFERENCE))
}

fn clicks_gate() -> Gate {
    let of_clicks = |gate: &Gate| gate.metric == Metric::ClicksPerAnswer;
    default_gates().into_iter().find(of_clicks).expect("it is a default")
}

/// Runs so many worlds on all cores.
fn worlds<T: Send>(runs: usize, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let seed = rollouts_and_seed().1.wrapping_mul(1_000_003);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let of_thread = |thread: usize| {
            let run = &run;
            move || {
                let numbers = (thread..runs).step_by(threads);
                numbers.map(|n| run(seed.wrapping_add(n as u64))).collect::<Vec<T>>()
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(of_thread(thread))).collect();
        running.into_iter().flat_map(|it| it.join().expect("no panic")).collect()
    })
}

fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values[values.len() / 2]
}

/// Whether a worse list is found with a third of the answers of the A/B stage.
fn is_found_with_a_third(change: Change, worth: std::ops::Range<f64>) {
    const MOST: usize = 400_000;
    let runs = worlds(20, |seed| {
        let mut world = World::new(change, seed);
        let worth = world.worth();
        let how = Interleaving::TeamDraft;
        let interleaved =
            answers_until_breach(preference_gate(), 0, MOST, || world.interleaved(how));
        let split = answers_until_breach(clicks_gate(), HALF_BASIS_POINTS, MOST, || world.split());
        (worth, interleaved.unwrap_or(MOST), split.unwrap_or(MOST))
    });
    let mean = runs.iter().map(|(worth, ..)| worth).sum::<f64>() / runs.len() as f64;
    let interleaved = median(runs.iter().map(|(_, interleaved, _)| *interleaved).collect());
    let split = median(runs.iter().map(|(.., split)| *split).collect());
    println!(
        "{change:?}: {:+.1} % clicks; median answers until it is found: interleaved {interleaved}, A/B {split}, ratio {:.1}",
        100.0 * (mean - 1.0),
        split as f64 / interleaved as f64,
    );
    assert!(worth.contains(&mean), "{change:?} is worth {mean}");
    assert!(3 * interleaved <= split, "{change:?} took {interleaved} and {split}");
}

#[test]
fn a_less_exact_model_is_found_with_a_third_of_the_answers() {
    is_found_with_a_third(Change::Model(0.75), 0.84..0.92);
}

#[test]
fn a_model_that_leans_to_the_popular_is_found_with_a_third_of_the_answers() {
    is_found_with_a_third(Change::Popular, 0.84..0.92);
}

#[test]
fn one_bad_item_of_ten_is_found_with_a_third_of_the_answers() {
    is_found_with_a_third(Change::OneOfTen, 0.84..0.92);
}

#[test]
fn another_order_is_found_with_a_third_of_the_answers() {
    is_found_with_a_third(Change::Order, 0.82..0.92);
}

/// A bad item at the first place has the clicks of the first place, and its list must not win by them.
#[test]
fn a_bad_item_before_all_others_is_found() {
    let ends = worlds(20, |seed| {
        let mut world = World::new(Change::BadFirst, seed);
        answers_until_breach(preference_gate(), 0, 20_000, || {
            world.interleaved(Interleaving::TeamDraft)
        })
    });
    println!("a bad item first: {:?}", ends);
    assert!(ends.iter().all(Option::is_some));
}

/// Lists that are as good as the baseline's, and the baseline's own.
#[test]
fn lists_as_good_as_the_baselines_are_rarely_rolled_back() {
    let runs = rollouts_and_seed().0 as usize;
    for (change, how) in [
        (Change::None, Interleaving::TeamDraft),
        (Change::Model(ERROR), Interleaving::TeamDraft),
        (Change::Model(ERROR), Interleaving::Balanced),
    ] {
        let ends = worlds(runs, |seed| {
            let mut world = World::new(change, seed);
            answers_until_breach(preference_gate(), 0, 20_000, || world.interleaved(how))
        });
        let breached = ends.iter().flatten().count();
        println!("{change:?}, {how:?}: {breached} of {runs} rolled back in 20,000 answers each");
        let allowed = if change == Change::None { 0 } else { runs / 100 };
        assert!(breached <= allowed, "{change:?}, {how:?}: {breached} of {runs}");
    }
}
