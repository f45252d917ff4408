//! What else a cluster answers, by the same public calls: reasons, a user without a history, an event that changes the next answer, a
//! search by text, and a rollout that is rolled back by hand.

use super::page::Page;
use super::rollout;
use super::users::DemoUsers;
use crate::commands::ask::because;
use crate::output::percent;
use anyhow::bail;
use marquee_client::{Connection, ControlClient, request_id};
use marquee_proto::control::v1::{RollBackRolloutRequest, RolloutState, StartRolloutRequest};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    Event, EventType, FallbackReason, RecommendRequest, RecommendedItem, RecordEventsRequest,
    SearchItemsRequest, SearchItemsResponse,
};
use std::time::{Duration, Instant};

/// Items that each answer shows.
const SHOWN: u32 = 3;
/// The surface that the model of texts goes live on.
pub(super) const SEARCH_SURFACE: &str = "search";
/// What is searched for: genres of films, in real and in generated catalogues.
pub(super) const TEXT: &str = "western comedy";
/// Attributes of a user whom no model knows; those that the data does not have count for nothing.
const ATTRIBUTES: [(&str, &str); 3] =
    [("age", "24"), ("occupation", "student"), ("region", "north")];
/// The step of the rollout that is rolled back by hand, share in basis points and hold in seconds.
const STEP: (u32, u64) = (5_000, 600);
/// Upper bound of the time until the model of texts is live: it is milliseconds of work.
const LIVE_WITHIN: Duration = Duration::from_secs(30);
/// Pause between two requests until then.
const LIVE_POLL: Duration = Duration::from_millis(10);

/// The client of the router.
pub(super) type Recommender = RecommenderServiceClient<Connection>;

/// Shows why a user gets the first items.
pub(super) async fn explain(
    recommender: &mut Recommender,
    user_id: &str,
    users: &DemoUsers,
    page: &Page,
) -> anyhow::Result<()> {
    let request = RecommendRequest {
        user_id: user_id.into(),
        count: SHOWN,
        explain: true,
        ..RecommendRequest::default()
    };
    let answer = recommender.recommend(request).await?.into_inner();
    page.data(&format!("why user {user_id} gets them (explain)"))?;
    for item in &answer.items {
        let reasons = because(item);
        let reasons = if reasons.is_empty() { "nothing that can be named" } else { &reasons };
        page.data(&format!("  {}, because of {reasons}", title(item, users)))?;
    }
    Ok(())
}

/// Shows what a user gets of whom only attributes are known.
pub(super) async fn greet_newcomer(
    recommender: &mut Recommender,
    users: &DemoUsers,
    page: &Page,
) -> anyhow::Result<()> {
    let attributes = ATTRIBUTES.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let request = RecommendRequest {
        user_id: "a-newcomer".into(),
        count: SHOWN,
        user_attributes: attributes.into(),
        ..RecommendRequest::default()
    };
    let answer = recommender.recommend(request).await?.into_inner();
    let words: Vec<String> =
        ATTRIBUTES.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let how = match answer.fallback_reason() {
        FallbackReason::Profile => "what users with the same attributes like",
        _ => "popular items",
    };
    page.data(&format!("a user whom no model knows ({}) gets {how}", words.join(", ")))?;
    show(&answer.items, users, page)
}

/// Records that a user played an item, and shows the next answer.
pub(super) async fn play(
    recommender: &mut Recommender,
    user_id: &str,
    item_id: &str,
    users: &DemoUsers,
    page: &Page,
) -> anyhow::Result<()> {
    let event = Event {
        user_id: user_id.into(),
        item_id: item_id.into(),
        r#type: EventType::Play.into(),
        value: 5_400.0,
        ..Event::default()
    };
    recommender.record_events(RecordEventsRequest { events: vec![event] }).await?;
    let request =
        RecommendRequest { user_id: user_id.into(), count: SHOWN, ..RecommendRequest::default() };
    let answer = recommender.recommend(request).await?.into_inner();
    page.data(&format!(
        "user {user_id} plays {}; the next answer has learnt from that, without a training",
        users.title(item_id)
    ))?;
    show(&answer.items, users, page)
}

/// Makes a published model of texts live on a surface of its own, and shows what a text finds.
pub(super) async fn search(
    control: &mut ControlClient,
    recommender: &mut Recommender,
    texts: &str,
    users: &DemoUsers,
    page: &Page,
) -> anyhow::Result<()> {
    let request = StartRolloutRequest {
        request_id: request_id(),
        surface: SEARCH_SURFACE.into(),
        candidate: texts.into(),
        ..StartRolloutRequest::default()
    };
    control
        .call(request, |mut control, request| async move { control.start_rollout(request).await })
        .await?;
    let found = found_by_text(recommender).await?;
    page.data(&format!(
        "the search for {TEXT:?} by {texts}, live on the surface {SEARCH_SURFACE}"
    ))?;
    show(&found.items, users, page)
}

/// Searches until the surface is live.
async fn found_by_text(recommender: &mut Recommender) -> anyhow::Result<SearchItemsResponse> {
    let started = Instant::now();
    loop {
        let request = SearchItemsRequest {
            text: TEXT.into(),
            count: SHOWN,
            surface: SEARCH_SURFACE.into(),
            filter: None,
        };
        match recommender.search_items(request).await {
            Ok(found) => return Ok(found.into_inner()),
            Err(status) if started.elapsed() > LIVE_WITHIN => {
                bail!("the model of texts is not live after {LIVE_WITHIN:?}: {}", status.message())
            }
            Err(_) => tokio::time::sleep(LIVE_POLL).await,
        }
    }
}

/// Gives a candidate half of the users, and takes them back as an operator would.
pub(super) async fn roll_back_by_hand(
    control: &mut ControlClient,
    candidate: &str,
    page: &Page,
) -> anyhow::Result<()> {
    let mut watch = rollout::start(control, candidate, &[STEP]).await?;
    let mut rollout = rollout::next(&mut watch).await?;
    while rollout.state() != RolloutState::Canary {
        if matches!(rollout.state(), RolloutState::Aborted | RolloutState::RolledBack) {
            bail!("the rollout ended as {:?}: {:?}", rollout.state(), rollout.history.last());
        }
        rollout = rollout::next(&mut watch).await?;
    }
    let began = Instant::now();
    let request = RollBackRolloutRequest {
        request_id: request_id(),
        rollout_id: rollout.rollout_id.clone(),
        reason: "the demo shows it".into(),
    };
    control
        .call(
            request,
            |mut control, request| async move { control.roll_back_rollout(request).await },
        )
        .await?;
    page.data(&format!(
        "{candidate} had {} of the users; `marquee ctl rollout rollback` gave them back in {} ms",
        percent(STEP.0),
        began.elapsed().as_millis()
    ))?;
    Ok(())
}

fn show(items: &[RecommendedItem], users: &DemoUsers, page: &Page) -> anyhow::Result<()> {
    for item in items {
        page.data(&format!("  {:>6.3}  {}", item.score, title(item, users)))?;
    }
    Ok(())
}

fn title(item: &RecommendedItem, users: &DemoUsers) -> String {
    if item.title.is_empty() { users.title(&item.item_id) } else { item.title.clone() }
}
