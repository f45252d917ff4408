//! Exposures and events, from logs or from files, joined to answers with rewards.

use super::user_names::UserNames;
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use marquee_core::event::EventType;
use marquee_core::off_policy::{LoggedAnswer, ShownItem};
use marquee_core::plan::{SegmentSet, UserHash, UserPrivacy};
use marquee_events::duplicates::hash_of;
use marquee_events::log::LogReader;
use marquee_events::{AskedFor, Contents, EXPOSURES_DIRECTORY, Exposure, StoredEvent};
use marquee_router::segments_of;
use marquee_train::read::{ExposedItem, RecordedEvent, read_events, read_exposures};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Surfaces that a message names before it says only that there are more.
const MAX_NAMED_SURFACES: usize = 8;

/// What is counted as reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RewardKind {
    /// Items that were clicked.
    Clicks,
    /// Seconds that items were played.
    PlaySeconds,
    /// Items that were bought.
    Purchases,
}

impl RewardKind {
    /// The metric's name, as gates have it.
    pub(super) fn metric(self) -> &'static str {
        match self {
            Self::Clicks => "clicks_per_answer",
            Self::PlaySeconds => "play_seconds_per_answer",
            Self::Purchases => "purchases_per_answer",
        }
    }
}

/// Which answers count, and what for.
pub(super) struct Selection<'a> {
    /// The surface; none: the only one.
    pub(super) surface: Option<&'a str>,
    /// What is counted as reward.
    pub(super) reward: RewardKind,
    /// The ranks that count.
    pub(super) ranks: usize,
}

/// Answers with what was shown and earned.
pub(super) struct Feedback {
    surface: String,
    answers: Vec<LoggedAnswer>,
    /// When each answer was given, seconds since 1970.
    times: Vec<f64>,
    /// The segments of each answer's request.
    segments: Vec<SegmentSet>,
    items: Numbered<String>,
    /// Hashes of the answers' users.
    users: Numbered<UserHash>,
    /// Ids of users that events name, by their hash.
    user_ids: HashMap<UserHash, String>,
    names: UserNames,
    /// By user, when which item was had.
    had: HashMap<u32, Vec<(f64, u32)>>,
    left_out: BTreeMap<&'static str, u64>,
}

/// Keys with numbers from 0, in order of first appearance.
struct Numbered<K> {
    keys: Vec<K>,
    numbers: HashMap<K, u32>,
}

impl<K: Clone + Eq + std::hash::Hash> Numbered<K> {
    fn number<Q: ?Sized + Eq + std::hash::Hash + ToOwned<Owned = K>>(&mut self, key: &Q) -> u32
    where
        K: std::borrow::Borrow<Q>,
    {
        if let Some(&number) = self.numbers.get(key) {
            return number;
        }
        let number = self.keys.len() as u32;
        self.keys.push(key.to_owned());
        self.numbers.insert(key.to_owned(), number);
        number
    }
}

impl<K> Default for Numbered<K> {
    fn default() -> Self {
        Self { keys: Vec::new(), numbers: HashMap::new() }
    }
}

/// An answer that may be of another surface than the one that is evaluated.
struct Read {
    surface: u32,
    time_seconds: f64,
    segments: SegmentSet,
    answer: LoggedAnswer,
}

impl Feedback {
    /// Reads all exposures and events, each an exported file or a directory of a router.
    ///
    /// # Errors
    /// What cannot be read; nothing to evaluate; several surfaces where none is given.
    pub(super) fn read(
        exposures: &[PathBuf],
        events: &[PathBuf],
        user_keys: Option<UserPrivacy>,
        selection: &Selection<'_>,
    ) -> anyhow::Result<Self> {
        let mut reading = Reading { names: UserNames::new(user_keys), ..Reading::default() };
        for path in exposures {
            reading.exposures(path).context("--exposures")?;
        }
        let (mut feedback, ids) = reading.select(selection)?;
        let mut seen = HashSet::new();
        for path in events {
            feedback.events(path, &ids, selection.reward, &mut seen).context("--events")?;
        }
        for answer in &mut feedback.answers {
            answer.shown.truncate(selection.ranks);
        }
        for had in feedback.had.values_mut() {
            had.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Ok(feedback)
    }

    /// The answers, in the order of the log.
    pub(super) fn answers(&self) -> &[LoggedAnswer] {
        &self.answers
    }

    /// The segments of each answer's request, as its id says.
    pub(super) fn segments(&self) -> &[SegmentSet] {
        &self.segments
    }

    /// The surface that they were given on.
    pub(super) fn surface(&self) -> &str {
        &self.surface
    }

    /// The exposures that do not count, by reason.
    pub(super) fn left_out(&self) -> BTreeMap<&'static str, u64> {
        self.left_out.clone()
    }

    /// The ids of users as far as events name them, and the hashes of all users, by number.
    pub(super) fn users(&self) -> (&HashMap<UserHash, String>, &[UserHash]) {
        (&self.user_ids, &self.users.keys)
    }

    /// How the exposures name users.
    pub(super) fn names(&self) -> &UserNames {
        &self.names
    }

    /// The number of an item; a new one for one that was never shown.
    pub(super) fn item_numbers(&self) -> HashMap<&str, u32> {
        self.items.keys.iter().map(String::as_str).zip(0..).collect()
    }

    /// The items that the user of an answer had before it, by number: a router leaves them out.
    pub(super) fn had_before(&self, answer: usize) -> HashSet<u32> {
        let before = self.times[answer];
        let had = self.had.get(&self.answers[answer].user).map_or(&[][..], Vec::as_slice);
        had.iter().take_while(|(time, _)| *time < before).map(|(_, item)| *item).collect()
    }

    /// Reads events and rewards the answers that they name.
    fn events(
        &mut self,
        path: &Path,
        ids: &HashMap<String, u32>,
        reward: RewardKind,
        seen: &mut HashSet<u128>,
    ) -> anyhow::Result<()> {
        let mut take = |event: &RecordedEvent<'_>| {
            if !event.event_id.is_empty() && !seen.insert(hash_of(event.event_id)) {
                return;
            }
            self.event(event, ids, reward);
        };
        if !path.is_dir() {
            return Ok(read_events(path, |event| take(&event))?);
        }
        each_record(path, Contents::Events, |record| {
            let StoredEvent { event, .. } = StoredEvent::decode(record)?;
            take(&RecordedEvent {
                recommendation_id: &event.recommendation_id,
                time_seconds: event.time_ms as f64 / 1_000.0,
                user_id: &event.user_id,
                item_id: &event.item_id,
                event_type: event.event_type.word(),
                value: event.value,
                event_id: &event.event_id,
            });
            Some(())
        })
    }

    fn event(&mut self, event: &RecordedEvent<'_>, ids: &HashMap<String, u32>, kind: RewardKind) {
        let types = EventType::ALL;
        let Some(event_type) = types.into_iter().find(|known| known.word() == event.event_type)
        else {
            return;
        };
        // One for each key that the exposures name users by.
        let mut users = Vec::new();
        for hash in self.names.hashes_of(event.user_id) {
            let Some(&user) = self.users.numbers.get(&hash) else { continue };
            users.push(user);
            self.user_ids.entry(hash).or_insert_with(|| event.user_id.to_owned());
            if event_type.is_consumption() {
                let item = self.items.number(event.item_id);
                self.had.entry(user).or_default().push((event.time_seconds, item));
            }
        }
        let Some(&answer) = ids.get(event.recommendation_id) else { return };
        let answer = &mut self.answers[answer as usize];
        // What another user says of the answer is none of its rewards.
        if !users.contains(&answer.user) {
            return;
        }
        let Some(&item) = self.items.numbers.get(event.item_id) else { return };
        let Some(shown) = answer.shown.iter_mut().find(|shown| shown.item == item) else { return };
        match (kind, event_type) {
            (RewardKind::Clicks, EventType::Click)
            | (RewardKind::Purchases, EventType::Purchase) => shown.reward = 1.0,
            (RewardKind::PlaySeconds, EventType::Play) => shown.reward += event.value.max(0.0),
            _ => {}
        }
    }
}

/// Exposures while they are read.
#[derive(Default)]
struct Reading {
    answers: Vec<Read>,
    ids: HashMap<String, u32>,
    surfaces: Numbered<String>,
    items: Numbered<String>,
    users: Numbered<UserHash>,
    /// Answers that do not count, by reason: each once, however many rows it has.
    left_out: BTreeMap<&'static str, BTreeSet<u128>>,
    names: UserNames,
}

impl Reading {
    /// Reads exposures: a file, or a router's directory of events or of exposures.
    fn exposures(&mut self, path: &Path) -> anyhow::Result<()> {
        if !path.is_dir() {
            let mut problem = None;
            read_exposures(path, |row| {
                if let Err(error) = self.row(&row) {
                    problem.get_or_insert(error);
                }
            })?;
            return problem.map_or(Ok(()), Err).with_context(|| path.display().to_string());
        }
        let below = path.join(EXPOSURES_DIRECTORY);
        let directory = if below.is_dir() { below } else { path.to_owned() };
        let mut problem = None;
        let read = each_record(&directory, Contents::Exposures, |record| {
            let exposure = Exposure::decode(record)?;
            let user_hash = exposure.user_hash.to_string();
            let of = |rank: u32, item_id| ExposedItem {
                recommendation_id: &exposure.recommendation_id,
                time_seconds: exposure.time_ms as f64 / 1_000.0,
                user_hash: &user_hash,
                surface: &exposure.surface,
                asked_for: exposure.asked_for.word(),
                is_filtered: exposure.is_filtered,
                rank,
                item_id,
                propensity: exposure.draw.propensity(rank as usize),
                is_drawn: exposure.draw.is_drawn(rank as usize),
            };
            let none = String::new();
            let items: Vec<(u32, &String)> = if exposure.item_ids.is_empty() {
                vec![(0, &none)]
            } else {
                (1..).zip(&exposure.item_ids).collect()
            };
            for (rank, item) in items {
                if let Err(error) = self.row(&of(rank, item)) {
                    problem = Some(error);
                    return None;
                }
            }
            Some(())
        });
        // What is wrong with a row says more than that the record has it.
        match problem {
            Some(problem) => Err(problem).with_context(|| directory.display().to_string()),
            None => read,
        }
    }

    /// Takes one shown item.
    fn row(&mut self, row: &ExposedItem<'_>) -> anyhow::Result<()> {
        let hash = UserHash::parse(row.user_hash)
            .with_context(|| format!("{:?} is no hash of a user", row.user_hash))?;
        let reason = if row.asked_for.is_empty() {
            Some("recorded by an earlier version")
        } else if row.asked_for != AskedFor::Recommendations.word() {
            Some("no recommendations for a user")
        } else if row.is_filtered {
            Some("with a filter")
        } else if row.rank == 0 {
            Some("without items")
        } else if hash == UserHash::NOBODY {
            Some("of nobody who is named")
        } else if !self.names.knows_key(hash)? {
            Some("of users whose key is forgotten")
        } else {
            None
        };
        if let Some(reason) = reason {
            let id = hash_of(row.recommendation_id);
            self.left_out.entry(reason).or_default().insert(id);
            return Ok(());
        }
        let surface = self.surfaces.number(row.surface);
        let (user, item) = (self.users.number(&hash), self.items.number(row.item_id));
        let next = self.answers.len() as u32;
        let number = *self.ids.entry(row.recommendation_id.to_owned()).or_insert(next);
        if number == next {
            let answer = LoggedAnswer { user, shown: Vec::new() };
            let segments = segments_of(row.recommendation_id);
            let time_seconds = row.time_seconds;
            self.answers.push(Read { surface, time_seconds, segments, answer });
        }
        let shown = &mut self.answers[number as usize].answer.shown;
        if row.rank as usize != shown.len() + 1 {
            bail!(
                "answer {:?} has rank {} after {} items: its rows must be together, in order, and once",
                row.recommendation_id,
                row.rank,
                shown.len()
            );
        }
        let ExposedItem { propensity, is_drawn, .. } = *row;
        shown.push(ShownItem { item, propensity, is_drawn, reward: 0.0 });
        Ok(())
    }

    /// The answers of the surface, and their numbers by recommendation id.
    fn select(self, selection: &Selection<'_>) -> anyhow::Result<(Feedback, HashMap<String, u32>)> {
        let Self { answers, mut ids, surfaces, items, users, left_out, names: user_names } = self;
        let surface = match (selection.surface, surfaces.keys.as_slice()) {
            (Some(given), _) => match surfaces.numbers.get(given) {
                Some(number) => *number,
                None => bail!(
                    "--surface: no exposure is of {given:?}: there are {}",
                    names(&surfaces.keys)
                ),
            },
            (None, [_]) => 0,
            (None, []) => bail!(
                "--exposures: no answer can be evaluated: they must be recommendations without a filter, with items"
            ),
            (None, several) => {
                bail!(
                    "exposures are of several surfaces: give --surface, one of {}",
                    names(several)
                )
            }
        };
        let mut left_out: BTreeMap<&'static str, u64> =
            left_out.into_iter().map(|(reason, ids)| (reason, ids.len() as u64)).collect();
        let mut numbers = vec![None; answers.len()];
        let (mut kept, mut times, mut segments) = (Vec::new(), Vec::new(), Vec::new());
        for (number, read) in numbers.iter_mut().zip(answers) {
            if read.surface == surface {
                *number = Some(kept.len() as u32);
                kept.push(read.answer);
                times.push(read.time_seconds);
                segments.push(read.segments);
            } else {
                *left_out.entry("of other surfaces").or_default() += 1;
            }
        }
        ids.retain(|_, number| match numbers[*number as usize] {
            Some(kept) => {
                *number = kept;
                true
            }
            None => false,
        });
        let feedback = Feedback {
            surface: surfaces.keys[surface as usize].clone(),
            answers: kept,
            times,
            segments,
            items,
            users,
            user_ids: HashMap::new(),
            names: user_names,
            had: HashMap::new(),
            left_out,
        };
        Ok((feedback, ids))
    }
}

/// The names of surfaces, the first few of them.
fn names(surfaces: &[String]) -> String {
    let mut named: Vec<&str> =
        surfaces.iter().take(MAX_NAMED_SURFACES).map(String::as_str).collect();
    if surfaces.len() > named.len() {
        named.push("…");
    }
    named.join(", ")
}

/// Gives every record of a log to `take`, which gives none for one that it cannot read.
fn each_record(
    directory: &Path,
    contents: Contents,
    mut take: impl FnMut(&[u8]) -> Option<()>,
) -> anyhow::Result<()> {
    let mut reader = LogReader::open(directory, contents)?;
    let mut unread = None;
    while unread.is_none()
        && reader.next_frame(|number, record| {
            if unread.is_none() && take(record).is_none() {
                unread = Some(number);
            }
        })?
    {}
    match unread {
        None => Ok(()),
        Some(number) => bail!(
            "{}: record {number} has a format that this version does not know, or comes twice",
            directory.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::plan::privacy::ROTATE_USER_KEY_AFTER_MS;
    use marquee_core::plan::{AnswerSecret, SECRET_BYTES};

    const EXPOSURES: &str = "\
recommendation_id,time,user_hash,surface,asked_for,filtered,rank,item_id,propensity,drawn
r1,10,USER,home,recommendations,0,1,a,0.9,0
r1,10,USER,home,recommendations,0,2,b,0.05,1
r2,30,USER,home,recommendations,0,1,a,1,0
r3,30,USER,home,recommendations,1,1,a,1,0
r4,30,USER,home,given_items,0,1,a,1,0
r4,30,USER,home,given_items,0,2,b,1,0
r5,30,USER,home,,0,1,a,1,0
r6,30,USER,home,recommendations,0,0,,1,0
";
    const EVENTS: &str = "\
user_id,item_id,type,value,time,recommendation_id,event_id
u,b,click,0,20,r1,e1
u,b,click,0,20,r1,e1
u,b,click,0,21,r1,e2
u,a,play,30,22,r1,e3
u,a,play,12.5,23,r1,e4
v,a,click,0,22,r1,e5
u,c,purchase,9,40,,e6
u,z,impression,0,5,,e7
";

    fn read(
        exposures: &str,
        events: &str,
        surface: Option<&str>,
        reward: RewardKind,
    ) -> Result<Feedback, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let [shown, done] = ["shown.csv", "events.csv"].map(|name| dir.path().join(name));
        let hash = keys().hash_now("u").to_string();
        std::fs::write(&shown, exposures.replace("USER", &hash)).expect("written");
        std::fs::write(&done, events).expect("written");
        let selection = Selection { surface, reward, ranks: 10 };
        Feedback::read(&[shown], &[done], Some(keys()), &selection)
            .map_err(|error| format!("{error:#}"))
    }

    fn keys() -> UserPrivacy {
        let mut privacy = UserPrivacy::default();
        for byte in [1, 2] {
            privacy.add(AnswerSecret([byte; SECRET_BYTES]), 0);
        }
        privacy
    }

    #[test]
    fn users_of_several_keys_and_of_earlier_versions_are_joined() {
        let mut later = keys();
        later.add(AnswerSecret([3; SECRET_BYTES]), ROTATE_USER_KEY_AFTER_MS);
        let dir = tempfile::tempdir().expect("a directory");
        let [shown, done] = ["shown.csv", "events.csv"].map(|name| dir.path().join(name));
        let (header, _) = EXPOSURES.split_once('\n').expect("a header");
        let hashes = [
            keys().hash_now("u"),
            later.hash_now("u"),
            Exposure::hash_of_earlier_versions("u"),
            UserHash { key: 9, hash: 1 },
            UserHash::NOBODY,
        ];
        let rows = (1..)
            .zip(hashes)
            .map(|(n, hash)| format!("r{n},10,{hash},home,recommendations,0,1,b,1,0\n"));
        std::fs::write(&shown, format!("{header}\n{}", rows.collect::<String>())).expect("written");
        let clicks = [1, 2, 3].map(|n| format!("u,b,click,0,20,r{n},e{n}\n")).concat();
        std::fs::write(
            &done,
            format!("user_id,item_id,type,value,time,recommendation_id,event_id\n{clicks}"),
        )
        .expect("written");
        let selection = Selection { surface: None, reward: RewardKind::Clicks, ranks: 10 };
        let (shown, done) = ([shown], [done]);
        let feedback = Feedback::read(&shown, &done, Some(later), &selection).expect("read");
        assert_eq!(rewards(&feedback), [[1.0], [1.0], [1.0]]);
        let expected = [("of nobody who is named", 1), ("of users whose key is forgotten", 1)];
        assert_eq!(feedback.left_out(), BTreeMap::from(expected));
        let refused = Feedback::read(&shown, &done, None, &selection).map(|_| ());
        let refused = format!("{:#}", refused.expect_err("refused"));
        assert!(refused.contains("--user-keys"), "{refused}");
    }

    fn rewards(feedback: &Feedback) -> Vec<Vec<f64>> {
        let shown = feedback.answers.iter().map(|answer| &answer.shown);
        shown.map(|shown| shown.iter().map(|item| item.reward).collect()).collect()
    }

    #[test]
    fn events_reward_the_items_of_the_answers_that_they_name_once() {
        let clicks = read(EXPOSURES, EVENTS, None, RewardKind::Clicks).expect("read");
        assert_eq!(rewards(&clicks), [vec![0.0, 1.0], vec![0.0]], "another user's click is none");
        assert_eq!(clicks.answers[0].shown[1].propensity, 0.05);
        assert!(clicks.answers[0].shown[1].is_drawn);
        let played = read(EXPOSURES, EVENTS, None, RewardKind::PlaySeconds).expect("read");
        assert_eq!(rewards(&played), [vec![42.5, 0.0], vec![0.0]]);
    }

    #[test]
    fn what_cannot_be_evaluated_is_left_out_and_counted() {
        let feedback = read(EXPOSURES, EVENTS, None, RewardKind::Clicks).expect("read");
        let expected = [
            ("no recommendations for a user", 1),
            ("recorded by an earlier version", 1),
            ("with a filter", 1),
            ("without items", 1),
        ];
        assert_eq!(feedback.left_out(), BTreeMap::from(expected));
    }

    #[test]
    fn items_that_a_user_had_before_an_answer_are_known() {
        let feedback = read(EXPOSURES, EVENTS, None, RewardKind::Clicks).expect("read");
        let numbers = feedback.item_numbers();
        assert_eq!(feedback.had_before(0), HashSet::new());
        assert_eq!(feedback.had_before(1), HashSet::from([numbers["a"], numbers["b"]]));
    }

    #[test]
    fn one_surface_is_evaluated() {
        let two = format!("{EXPOSURES}r7,30,USER,shop,recommendations,0,1,a,1,0\n");
        let refused = |surface| {
            read(&two, EVENTS, surface, RewardKind::Clicks).map(|_| ()).expect_err("refused")
        };
        assert!(refused(None).contains("--surface, one of home, shop"));
        assert!(refused(Some("away")).contains("\"away\": there are home, shop"));
        let shop = read(&two, EVENTS, Some("shop"), RewardKind::Clicks).expect("read");
        assert_eq!((shop.answers.len(), shop.surface.as_str()), (1, "shop"));
        assert_eq!(shop.left_out()["of other surfaces"], 2);
        let (header, _) = EXPOSURES.split_once('\n').expect("a header");
        let none = read(&format!("{header}\n"), EVENTS, None, RewardKind::Clicks);
        assert!(none.map(|_| ()).expect_err("refused").contains("no answer can be evaluated"));
    }

    #[test]
    fn exposures_that_come_twice_are_refused() {
        let twice = format!("{EXPOSURES}r2,30,USER,home,recommendations,0,1,a,1,0\n");
        let refused = read(&twice, EVENTS, None, RewardKind::Clicks).map(|_| ());
        assert!(refused.expect_err("refused").contains("\"r2\" has rank 1 after 1 items"));
    }
}
