//! What one user does, however often, is not taken for what users do.

use super::*;
use marquee_core::rollout::gate::{Bound, Metric};

/// Two hundred users with some requests each within ten windows, and one with a tenth of all. All windows, and the ids of all
/// answers of the one.
fn windows_with_a_heavy_user(memory: &mut Memory) -> (Window, Vec<String>) {
    let (mut users, mut times) = (fastrand::Rng::with_seed(2), fastrand::Rng::with_seed(3));
    let now = trial(5_000, 1);
    let heavy = user_on(&now);
    let (mut all, mut ids) = (Window::new(2), Vec::new());
    for window in 0..10 {
        let mut batch = Batch::default();
        let mut ask = |user: &str, number: u64| {
            let trial = trial(5_000, usize::from(is_on_arm(&now, user)));
            let id = named("3f", 1_000 * window + number, 2 * window, &trial);
            let micros = 2 * SECOND * window + times.u64(..2 * SECOND);
            batch.observe(&trial, answered(trial.arm, user, micros, list(&id, &["a"])));
            let side = || ArmAnswer { latency_micros: None, outcome: list("", &["a"]) };
            let subject = of_user(user);
            let pair = Pair { subject, answers: [side(), side()], in_common: Some((0.5, 0.5)) };
            batch.pair(&trial, pair, None);
            id
        };
        for number in 0..90 {
            ask(&format!("user-{}", users.u32(..200)), number);
        }
        let of_heavy = (90..100).map(|number| ask(&heavy, number));
        ids.extend(of_heavy);
        for (_, window) in close(&batch, memory, &plan(), at(2 * window + 2)) {
            all.absorb(&window);
        }
    }
    (all, ids)
}

#[test]
fn a_user_with_a_tenth_of_all_traffic_counts_as_the_most_active_others_do() {
    let mut memory = Memory::default();
    let (all, ids) = windows_with_a_heavy_user(&mut memory);
    assert_eq!((all.automated, ids.len()), (0, 100));
    let counted: u64 = all.arms.iter().map(|arm| arm.requests()).sum();
    assert_eq!(counted + all.capped / 2, 1_000, "the mirrored requests are bounded alike");
    let heavy = user_on(&trial(5_000, 1));
    let of_heavy = of(&all, 1, Measure::Failed).expect("there").count[group_of(&heavy)];
    // Users of the same group are among them: 200 users with 4 or 5 requests, in 64 groups.
    assert!((8..40).contains(&of_heavy), "{of_heavy}");
    assert!((85..95).contains(&(all.capped / 2)), "{}", all.capped);

    // What was not counted earns nothing.
    let mut batch = Batch::default();
    ids.iter().for_each(|id| batch.event(came(id, &heavy, Reward::Click, 21)));
    close(&batch, &mut memory, &plan(), at(22));
    let windows = close(&Batch::default(), &mut memory, &plan(), at(90));
    let (answers, clicks) = sum(&windows[0].1, 1, Measure::Clicks);
    assert!(answers > 300);
    assert!((8.0..16.0).contains(&clicks), "{clicks}");
}

#[test]
fn of_a_users_answers_by_other_routers_so_many_count_as_of_others() {
    let (mut memory, now) = (Memory::default(), trial(5_000, 1));
    let mut users = (0..).map(|n| format!("u{n}")).filter(|user| is_on_arm(&now, user));
    let heavy = users.next().expect("some user is");
    let mut batch = Batch::default();
    let mut number = 0;
    let mut click = |user: &str| {
        number += 1;
        let id = named("4f", number, 1, &now);
        (0..2).for_each(|_| batch.event(came(&id, user, Reward::Click, 2)));
    };
    users.take(50).for_each(|user| click(&user));
    (0..100).for_each(|_| click(&heavy));
    let windows = close(&batch, &mut memory, &plan(), at(2));
    assert_eq!(windows[0].1.capped, 100 - u64::from(ALWAYS_COUNTED));
    let windows = close(&Batch::default(), &mut memory, &plan(), at(80));
    assert_eq!(
        sum(&windows[0].1, 1, Measure::Clicks),
        (0, 2.0 * (50.0 + f64::from(ALWAYS_COUNTED)))
    );
}

#[test]
fn a_user_whose_requests_always_fail_is_one_user() {
    let mut batch = Batch::default();
    let now = trial(5_000, 1);
    for n in 0..30 {
        batch.observe(&now, answered(1, "ann", n * n * 1_000, AnswerOutcome::Failed(4)));
        if n % 6 == 0 {
            let faulty = AnswerOutcome::Answered {
                is_empty: true,
                is_partial: true,
                is_fallback: true,
                list: None,
            };
            batch.observe(&now, answered(1, "bob", n * n * 1_100, faulty));
        }
        batch.observe(&now, answered(1, &format!("u{n}"), n, list("x", &["a"])));
    }
    batch.observe(&now, answered(1, "eve", 9, AnswerOutcome::Failed(14)));
    let windows = closed(&batch);
    let arm = &windows[0].1.arms[1];
    let users = |fault: Measure| arm.users_with.get(&fault).map_or(0, |cells| cells.len());
    assert_eq!(Measure::FAULTS.map(users), [2, 1, 1, 1, 0, 0, 0]);
    assert_eq!(arm.failed(), u64::from(ALWAYS_COUNTED) + 1);
    assert!(windows[0].1.arms[0].users_with.is_empty());
}

#[test]
fn answers_are_slow_beyond_what_was_usual_before() {
    let gate = Gate::new(Metric::LatencyP95, Bound::MaxRatio(2.0));
    let (mut memory, plan) = (Memory::default(), plan_with(vec![gate]));
    let mut window_of = |second: u64, latencies: [u64; 2], count: u64| {
        let mut batch = Batch::default();
        for n in 0..count {
            let side = |micros: u64| ArmAnswer {
                latency_micros: Some(micros),
                outcome: AnswerOutcome::Failed(14),
            };
            for (arm, micros) in latencies.into_iter().enumerate() {
                let subject = of_user(&format!("{second}-{arm}-{n}"));
                let at_micros = second * SECOND + n;
                let answer = side(micros);
                batch.observe(&trial(5_000, arm), observation(arm, subject, at_micros, answer));
            }
            // Mirrored requests take twice as long, and are compared among themselves.
            let answers = latencies.map(|micros| side(2 * micros));
            let subject = of_user(&format!("{second}-{n}"));
            batch.pair(&trial(5_000, 0), Pair { subject, answers, in_common: None }, None);
        }
        close(&batch, &mut memory, &plan, at(second)).pop().expect("one").1
    };
    let slow = |window: &Window| {
        let mirrored = window.mirror.arms.iter();
        let arms = window.arms.iter().chain(mirrored);
        arms.map(|arm| {
            arm.measures
                .get(&Measure::SlowP95)
                .map_or((0, 0.0), |sums| (sums.total(), sums.sum.iter().sum()))
        })
        .collect::<Vec<(u64, f64)>>()
    };
    let unknown = vec![(0, 0.0); 4];
    assert_eq!(slow(&window_of(2, [10_000, 90_000], 60)), unknown, "nothing is known before");
    assert_eq!(slow(&window_of(4, [10_000, 90_000], 60)), unknown, "too little is known");
    // 10 ms were usual, and 20 of mirrored requests: with 2 ms more, the candidate may take 22 and 42.
    let allowed = window_of(6, [9_000, 20_000], 50);
    assert_eq!(slow(&allowed), [(50, 0.0), (50, 0.0), (50, 0.0), (50, 0.0)]);
    let exceeded = window_of(8, [10_500, 22_500], 50);
    assert_eq!(slow(&exceeded), [(50, 50.0), (50, 50.0), (50, 50.0), (50, 50.0)]);
    assert!(allowed.arms.iter().all(|arm| !arm.measures.contains_key(&Measure::SlowP99)));
}
