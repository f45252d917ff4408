//! What a window of a busy router comes to on the wire.

use super::*;
use marquee_core::rollout::gate::default_gates;
use prost::Message as _;

/// Answers in a window of a router with 7,000 requests a second.
const ANSWERS: u64 = 14_000;
/// Of so many one is mirrored.
const MIRRORED: u64 = 100;
/// The most bytes of a window, whatever the traffic: 50 routers then send the leader 3 MB a second.
const MAX_BYTES: usize = 128 << 10;

#[test]
fn a_window_of_seven_thousand_answers_a_second_fits_in_a_message() {
    let mut rng = fastrand::Rng::with_seed(4);
    let (mut memory, plan) = (Memory::default(), plan_with(default_gates()));
    let mut largest = 0;
    for window in 0..40 {
        let mut batch = Batch::default();
        for number in 0..ANSWERS {
            let user = format!("user-{}", rng.u32(..20_000));
            let now = trial(5_000, usize::from(is_on_arm(&trial(5_000, 1), &user)));
            let items: Vec<String> = (0..10).map(|_| format!("i{}", rng.u32(..2_000))).collect();
            let id = named("3f", ANSWERS * window + number, 2 * window, &now);
            // Latencies of 5 ms to 150.
            let latency_micros = Some((5_000.0 * 30_f64.powf(rng.f64())) as u64);
            let mut side = |answer: &str| ArmAnswer {
                latency_micros,
                outcome: AnswerOutcome::Answered {
                    is_empty: false,
                    is_partial: rng.u32(..50) == 0,
                    is_fallback: rng.u32(..10) == 0,
                    list: Some(List::of(answer, items.iter().map(String::as_str), Some(rng.f64()))),
                },
            };
            let (answer, subject) = (side(&id), of_user(&user));
            if number % MIRRORED == 0 {
                let answers = [side(""), side("")];
                batch.pair(&now, Pair { subject, answers, in_common: Some((0.4, 0.5)) }, None);
            }
            let at_micros = 2 * SECOND * window + number * 100;
            batch.observe(&now, observation(now.arm, subject, at_micros, answer));
            if number % 10 == 0 {
                batch.event(came(&id, &user, Reward::Click, 2 * window + 1));
            }
        }
        for (_, window) in close(&batch, &mut memory, &plan, at(2 * window + 2)) {
            assert!(window.arms.iter().map(|arm| arm.requests()).sum::<u64>() > ANSWERS / 2);
            largest = largest.max(window_to_pb(&window).encoded_len());
        }
    }
    println!("{largest} bytes");
    assert!((20_000..MAX_BYTES).contains(&largest), "{largest} bytes");
}
