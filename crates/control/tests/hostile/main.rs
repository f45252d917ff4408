//! One voter of three is sent messages that no honest voter sends, at random and by mutation. No voter
//! panics or ends, and the group commits within the ten seconds that are said of it.
//!
//! The voters and their stores are the real ones; time and the network are made up.

#[path = "../simulation/journal.rs"]
mod journal;
mod messages;
mod world;

use messages::{Mutation, hostile};
use proptest::prelude::*;
use proptest::test_runner::Config;
use world::{TARGET, World};

proptest! {
    #![proptest_config(Config { cases: 200, ..Config::default() })]

    #[test]
    fn random_messages_stop_no_group(
        messages in prop::collection::vec(hostile(), 1..24),
        pauses in prop::collection::vec(0..4_u32, 24),
        to_the_leader in any::<bool>(),
    ) {
        let mut world = World::start(to_the_leader);
        for (message, pause) in messages.into_iter().zip(pauses) {
            let (term, last) = world.standing(TARGET);
            world.inject(message.at(term, last));
            for _ in 0..pause {
                world.tick();
            }
        }
        world.commits_again();
    }

    #[test]
    fn mutated_messages_stop_no_group(
        mutations in prop::collection::vec(any::<Mutation>(), 1..40),
        to_the_leader in any::<bool>(),
    ) {
        let mut world = World::start(to_the_leader);
        for mutation in mutations {
            world.tick();
            if let Some(message) = world.overheard(mutation.chosen) {
                world.inject(mutation.of(message));
            }
        }
        world.commits_again();
    }
}
