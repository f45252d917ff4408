//! What a healthy cluster answers.

use crate::ids;
use crate::support::{Mood, World, films, user};
use marquee_proto::v1::recommender_service_server::RecommenderService as _;
use marquee_proto::v1::{self, FallbackReason, Variant};
use marquee_router::RouterConfig;
use tonic::Code;

#[tokio::test(start_paused = true)]
async fn lists_are_the_same_over_any_number_of_shards() {
    let whole = films(1, 1, "i", 300, 40);
    for shards in [1, 2, 5] {
        let world = World::new(vec![films(1, shards, "i", 300, 40)], 3, 2);
        for name in (0..40).map(|n| format!("u{n}")).chain(["unknown".into(), "empty".into()]) {
            let answer = world.recommend(user(&name, 25)).await.expect("an answer");
            assert_eq!(ids(&answer.items), whole.expected(&name, 25), "{name}, {shards} shards");
            assert!(answer.items.windows(2).all(|pair| pair[0].score >= pair[1].score));
            let coverage = answer.coverage.expect("always there");
            assert_eq!((coverage.shards_total, coverage.shards_answered), (shards, shards));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_what_served_it() {
    let world = World::new(vec![films(1, 2, "i", 50, 5)], 2, 1);
    let answer = world.recommend(user("u1", 3)).await.expect("an answer");
    let served = answer.served_by.clone().expect("always there");
    assert_eq!((served.surface.as_str(), served.ensemble.as_str()), ("default", "films@1"));
    assert_eq!(served.models, [v1::ModelVersion { model: "films".into(), version: 1 }]);
    assert_eq!((served.plan_epoch, served.rollout_id.as_str()), (7, ""));
    assert_eq!(served.variant(), Variant::Unspecified);
    assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);
    assert!(answer.items.iter().all(|item| item.explanations.is_empty()));
    let titled = answer.items.iter().filter(|item| !item.title.is_empty());
    assert!(titled.clone().count() > 0);
    for item in titled {
        assert_eq!(item.title, item.item_id.replace('i', "Title "));
    }

    let again = world.recommend(user("u1", 3)).await.expect("an answer");
    assert_ne!(answer.recommendation_id, again.recommendation_id);
    let other = world.second_router();
    assert_ne!(other_id(&other).await, other_id(&world.router).await);
}

async fn other_id(router: &marquee_router::Router) -> String {
    use marquee_proto::v1::recommender_service_server::RecommenderService as _;
    let request = tonic::Request::new(user("u1", 3));
    router.service().recommend(request).await.expect("an answer").into_inner().recommendation_id
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_refused() {
    let world = World::new(vec![films(1, 2, "i", 50, 5)], 2, 1);
    for (timeout, code) in [("100m", None), ("soon", Some(Code::InvalidArgument))] {
        let mut request = tonic::Request::new(user("u1", 3));
        request.metadata_mut().insert("grpc-timeout", timeout.parse().expect("ascii"));
        let refused = world.service().recommend(request).await.err();
        assert_eq!(refused.as_ref().map(tonic::Status::code), code, "{timeout}");
        assert!(refused.is_none_or(|status| status.message().starts_with("grpc-timeout: ")));
    }
}

#[tokio::test(start_paused = true)]
async fn fallbacks_say_why() {
    let world = World::new(vec![films(1, 3, "i", 60, 5)], 3, 1);
    for (name, reason) in [
        ("u1", FallbackReason::Unspecified),
        ("unknown", FallbackReason::UnknownUser),
        ("empty", FallbackReason::NoHistory),
    ] {
        let answer = world.recommend(user(name, 10)).await.expect("an answer");
        assert_eq!(answer.fallback_reason(), reason, "{name}");
        assert_eq!(answer.items.len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn seen_recent_and_filtered_items_stay_out() {
    let bundle = films(1, 3, "i", 120, 5);
    let seen: Vec<String> = bundle.users["u2"]
        .history
        .iter()
        .map(|&ordinal| bundle.items[ordinal as usize].id.clone())
        .collect();
    let world = World::new(vec![bundle], 3, 1);
    let all = world.recommend(user("u2", 1_000)).await.expect("an answer");
    assert_eq!(all.items.len(), 120 - seen.len());
    assert!(all.items.iter().all(|item| !seen.contains(&item.item_id)));

    let filter = v1::Filter { include_seen: true, ..Default::default() };
    let request = v1::RecommendRequest { filter: Some(filter), ..user("u2", 1_000) };
    assert_eq!(world.recommend(request).await.expect("an answer").items.len(), 120);

    let recent: Vec<String> = all.items[..3].iter().map(|item| item.item_id.clone()).collect();
    let request = v1::RecommendRequest { recent_item_ids: recent, ..user("u2", 1_000) };
    let rest = world.recommend(request).await.expect("an answer");
    assert_eq!(ids(&rest.items), ids(&all.items[3..]));

    let range =
        v1::AttributeRange { attribute: "year".into(), min: Some(1_960.0), max: Some(1_970.0) };
    let filter =
        v1::Filter { exclude_tags: vec!["noir".into()], ranges: vec![range], ..Default::default() };
    for name in ["u2", "unknown"] {
        let request = v1::RecommendRequest { filter: Some(filter.clone()), ..user(name, 1_000) };
        let some = world.recommend(request).await.expect("an answer");
        assert!(!some.items.is_empty());
        for item in &some.items {
            let n: u32 = item.item_id[1..].parse().expect("a number");
            assert!(n % 3 != 2 && (10..=20).contains(&(n % 70)), "{name} got {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn explanations_name_the_model_its_recipe_search_score_and_rank() {
    let world = World::new(vec![films(4, 2, "i", 50, 5)], 2, 1);
    for (name, recipe, search) in
        [("u1", "matrix_factorisation", "scan, cells"), ("unknown", "popularity", "row_sum")]
    {
        let request = v1::RecommendRequest { explain: true, ..user(name, 4) };
        let answer = world.recommend(request).await.expect("an answer");
        for (rank, item) in (1..).zip(&answer.items) {
            let model = v1::ModelVersion { model: "films".into(), version: 4 };
            let expected = v1::Explanation {
                model: Some(model),
                recipe: recipe.into(),
                score: item.score,
                rank,
                search: search.into(),
                ..Default::default()
            };
            assert_eq!(item.explanations, [expected]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn similar_items_point_the_same_way_and_are_not_the_item_itself() {
    let bundle = films(1, 3, "i", 80, 5);
    let vector = bundle.items.iter().find(|item| item.id == "i9").expect("there").vector.clone();
    let expected: Vec<String> = bundle
        .rank(&[0, 1, 2], None, &|item| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(&item.vector, &vector)
                / (dot(&item.vector, &item.vector) * dot(&vector, &vector)).sqrt()
        })
        .into_iter()
        .map(|(_, ordinal)| bundle.items[ordinal as usize].id.clone())
        .filter(|id| id != "i9")
        .take(10)
        .collect();
    let world = World::new(vec![bundle], 3, 1);
    let answer = world.similar("i9").await.expect("an answer");
    assert_eq!(ids(&answer.items), expected);
    assert_eq!(answer.coverage.expect("always there").shards_answered, 3);

    let unknown = world.similar("nothing").await.expect_err("no such item");
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("item_id \"nothing\""), "{}", unknown.message());
}

#[tokio::test(start_paused = true)]
async fn given_items_are_ranked_once_each_and_unknown_ones_named() {
    let bundle = films(1, 3, "i", 40, 5);
    let order = {
        let user = &bundle.users["u3"];
        let score = |item: &crate::support::Item| -> f32 {
            item.vector.iter().zip(&user.vector).map(|(a, b)| a * b).sum()
        };
        let list = bundle.rank(&[0, 1, 2], None, &score);
        list.into_iter().map(|(_, o)| bundle.items[o as usize].id.clone()).collect::<Vec<_>>()
    };
    let world = World::new(vec![bundle], 3, 1);
    // With what the user has seen, and one of them twice.
    let asked: Vec<String> = (0..40).step_by(3).map(|n| format!("i{n}")).collect();
    let mut given: Vec<&str> = asked.iter().map(String::as_str).collect();
    given.extend(["zzz", "i0", "12", "zzz"]);
    let answer = world.rank("u3", &given).await.expect("an answer");
    let expected: Vec<&str> =
        order.iter().map(String::as_str).filter(|id| asked.iter().any(|a| a == id)).collect();
    assert_eq!(ids(&answer.items), expected);
    assert_eq!(answer.unknown_item_ids, ["zzz", "12"]);
    assert_eq!(answer.fallback_reason(), FallbackReason::Unspecified);

    let answer = world.rank("unknown", &given).await.expect("an answer");
    assert_eq!(answer.items.len(), asked.len());
    assert_eq!(answer.fallback_reason(), FallbackReason::UnknownUser);
}

#[tokio::test(start_paused = true)]
async fn wrong_requests_get_the_status_they_should() {
    let mut world = World::new(vec![films(1, 2, "i", 40, 5)], 2, 1);
    let status = |request| {
        let world = &world;
        async move { world.recommend(request).await.expect_err("must be refused") }
    };
    let long = status(user(&"x".repeat(10_240), 5)).await;
    assert_eq!(long.code(), Code::InvalidArgument);
    assert_eq!(long.message(), "user_id has 10240 bytes: at most 256 are allowed");
    let many = status(user("u1", 1_001)).await;
    assert_eq!(many.code(), Code::InvalidArgument);
    let nowhere = status(v1::RecommendRequest { surface: "nowhere".into(), ..user("u1", 5) }).await;
    assert_eq!(nowhere.code(), Code::NotFound);
    assert!(nowhere.message().contains("\"nowhere\""));

    world.change(|plan| {
        plan.surfaces.insert("soon".into(), Default::default());
    });
    let soon = world.recommend(v1::RecommendRequest { surface: "soon".into(), ..user("u1", 5) });
    assert_eq!(soon.await.expect_err("not live").code(), Code::Unavailable);

    world.all_feel(Mood::Picky);
    let picky = world.recommend(user("u1", 5)).await.expect_err("refused");
    assert_eq!(picky.code(), Code::Internal, "the caller did nothing wrong");
    assert!(picky.message().contains("ops[0].matrix is strange"));
}

#[tokio::test(start_paused = true)]
async fn too_much_at_once_is_refused_and_a_draining_router_takes_no_request() {
    let config = RouterConfig { max_in_flight: 2, ..RouterConfig::default() };
    let world = World::with_config(vec![films(1, 1, "i", 40, 5)], 1, 1, config);
    world.all_feel(Mood::Slow(200));
    let request = || world.recommend(user("u1", 5));
    let (first, second, third) = tokio::join!(request(), request(), request());
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(third.expect_err("one too many").code(), Code::ResourceExhausted);

    let service = world.service();
    let under_way = tokio::spawn({
        let service = service.clone();
        async move {
            use marquee_proto::v1::recommender_service_server::RecommenderService as _;
            service.recommend(tonic::Request::new(user("u1", 5))).await
        }
    });
    tokio::task::yield_now().await;
    let ready = world.router.ready();
    world.router.shutdown().await;
    assert!(!*ready.borrow());
    assert!(under_way.await.expect("no panic").is_ok(), "a request that was admitted is answered");
    use marquee_proto::v1::recommender_service_server::RecommenderService as _;
    let late = service.recommend(tonic::Request::new(user("u1", 5))).await;
    assert_eq!(late.expect_err("draining").code(), Code::Unavailable);
}
