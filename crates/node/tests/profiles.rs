//! Users and items without interactions, known by their attributes only: from files through training and
//! shards to a caller, with 1, 2 and 5 shards, against the offline evaluation.

use marquee_client::loopback_address;
use marquee_node::serve::{RunningNode, standalone};
use marquee_proto::v1::recommender_service_client::RecommenderServiceClient;
use marquee_proto::v1::{
    FallbackReason, RecommendRequest, RecommendResponse, SearchItemsRequest, SearchReason,
};
use marquee_train::eval::{Cutoffs, Evaluator, evaluate_bundle, offline_lists};
use marquee_train::read::read_interactions;
use marquee_train::{Duplicates, ModelKind, ModelSettings, TrainArgs, train};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tonic::Code;
use tonic::transport::Channel;

const FILMS_OF_A_REGION: usize = 12;
const COUNT: usize = 5;

/// Numbers without a pattern.
fn mixed(of: usize) -> usize {
    let mut x = (of as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x >> 33) as usize
}

/// Two of three users are from the north. All users watch films of their own region, the first films more
/// than the last.
fn region(user: usize) -> &'static str {
    if user.is_multiple_of(3) { "south" } else { "north" }
}

fn film(region: &str, n: usize) -> String {
    format!("{region}{:02}", n % FILMS_OF_A_REGION)
}

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let files = Self { directory };
        let mut watched = String::from("user,item,timestamp\n");
        for user in 0..90 {
            for n in 0..6 {
                let one = mixed(user * 10 + n) % FILMS_OF_A_REGION;
                let other = mixed(user * 10 + n + 5_000) % FILMS_OF_A_REGION;
                watched += &format!("u{user},{},{n}\n", film(region(user), one.min(other)));
            }
        }
        files.write("watched.csv", &watched);
        let described: String = (0..120)
            .map(|user| format!("u{user},{},{}\n", 20 + mixed(user) % 40, region(user)))
            .collect();
        files.write("users.csv", &format!("user,age,region\n{described}"));
        // Those from u90 on have watched nothing yet.
        let cold: String = (90..120)
            .flat_map(|user| (0..4).map(move |n| format!("u{user},{}\n", film(region(user), n))))
            .collect();
        files.write("cold.csv", &format!("user,item\n{cold}newcomer,north00\n"));
        // A region has a word in the titles of its films. Two films of each region have not been watched.
        let films: String = ["north", "south"]
            .iter()
            .flat_map(|region| {
                (0..FILMS_OF_A_REGION)
                    .map(move |n| format!("{},{region} lights {n},drama\n", film(region, n)))
            })
            .collect();
        let unseen = "north-new,The north again,drama\nsouth-new,The south again,drama\n";
        files.write("films.csv", &format!("item,title,genres\n{films}{unseen}"));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn args(&self, model: ModelKind, shards: u32) -> TrainArgs {
        let bundle = self.path(&format!("{}-{shards}", model.name()));
        let mut settings = ModelSettings::default();
        if matches!(model, ModelKind::Mf | ModelKind::Content) {
            settings = settings.with("factors", 8);
        }
        TrainArgs {
            model,
            settings,
            users: Some(self.path("users.csv")),
            shards,
            evaluate_users: Some(0),
            ..TrainArgs::new(self.path("watched.csv"), bundle)
        }
    }

    fn evaluator(&self) -> Evaluator {
        let read = |name: &str| {
            let columns = Default::default();
            read_interactions(&self.path(name), &columns, Duplicates::Last, false).expect("read").0
        };
        Evaluator::new(read("watched.csv"), read("cold.csv"), Cutoffs::one(COUNT)).expect("users")
    }
}

struct Served {
    node: RunningNode,
    client: RecommenderServiceClient<Channel>,
}

impl Served {
    async fn new(bundle: &Path, files: &Files) -> Self {
        let name = bundle.file_name().expect("a name").to_string_lossy().into_owned();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let node = standalone::start(any_port, &files.path(&format!("node-{name}"))).await;
        let node = node.expect("started");
        standalone::publish_and_go_live(&node, bundle).await.expect("live");
        let address = loopback_address(node.listens_at()).to_string();
        let client = RecommenderServiceClient::connect(address).await.expect("connected");
        Self { node, client }
    }

    async fn recommend(&mut self, user: &str, attributes: &[(&str, &str)]) -> RecommendResponse {
        let request = RecommendRequest {
            user_id: user.into(),
            count: COUNT as u32,
            explain: true,
            user_attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            ..RecommendRequest::default()
        };
        self.client.recommend(request).await.expect("answered").into_inner()
    }
}

fn ids(answer: &RecommendResponse) -> Vec<String> {
    answer.items.iter().map(|item| item.item_id.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn users_with_attributes_only_get_what_similar_users_like() {
    let files = Files::new();
    let evaluator = files.evaluator();
    let models = [ModelKind::Mf, ModelKind::ItemKnn, ModelKind::UserKnn, ModelKind::Hybrid];
    for (model, shards) in models.into_iter().flat_map(|model| [1, 2, 5].map(|n| (model, n))) {
        let args = TrainArgs { items: Some(files.path("films.csv")), ..files.args(model, shards) };
        train(&args, 0).expect("trained");
        let name = format!("{} of {shards} shards", model.name());
        let evaluation = evaluate_bundle(&args.out, &evaluator).expect("evaluated");
        let (found, popular) = (evaluation.report.metrics.recall, evaluation.popularity.recall);
        assert!(found > popular + 0.2, "{name}: recall {found} beside {popular} of popularity");

        let offline = offline_lists(&args.out, &evaluator).expect("evaluated");
        let mut served = Served::new(&args.out, &files).await;
        for (user, expected) in evaluator.users().iter().zip(&offline) {
            let answer = served.recommend(user, &[]).await;
            assert_eq!(&ids(&answer), expected, "{name}: {user}");
            let reason = match user.as_str() {
                "newcomer" => FallbackReason::UnknownUser,
                _ => FallbackReason::Profile,
            };
            assert_eq!(answer.fallback_reason(), reason, "{name}: {user}");
        }
        // An unknown user with the attribute in the request is answered as one with it in the bundle,
        // whatever the case; a user with an unknown attribute, or with a history, is not.
        let told = served.recommend("newcomer", &[("Region", "SOUTH"), ("age", "27")]).await;
        assert_eq!(told.fallback_reason(), FallbackReason::Profile);
        assert!(ids(&told).iter().all(|id| id.starts_with("south")), "{name}: {:?}", ids(&told));
        let recipes = told.items[0].explanations.iter().map(|e| e.recipe.as_str());
        assert!(recipes.into_iter().any(|recipe| recipe == "profile"), "{name}");
        let other = served.recommend("newcomer", &[("region", "moon")]).await;
        assert_eq!(other.fallback_reason(), FallbackReason::UnknownUser);
        let described = served.recommend("u100", &[("region", "moon")]).await;
        assert_eq!(described.fallback_reason(), FallbackReason::Profile, "by training");
        let known = served.recommend("u1", &[("region", "south")]).await;
        assert_eq!(known.fallback_reason(), FallbackReason::Unspecified);
        assert_eq!(ids(&known), ids(&served.recommend("u1", &[]).await));
        served.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_without_interactions_are_recommended_by_their_texts() {
    let files = Files::new();
    for shards in [1, 2, 5] {
        let base = files.args(ModelKind::Mf, shards);
        let args = TrainArgs {
            items: Some(files.path("films.csv")),
            cold_items: true,
            // Few as they are, the default would shrink the smaller region away.
            settings: base.settings.clone().with("regularization", 0.5),
            ..base
        };
        train(&args, 0).expect("trained");
        let mut served = Served::new(&args.out, &files).await;
        for (user, own, other) in
            [("u1", "north-new", "south-new"), ("u3", "south-new", "north-new")]
        {
            let request =
                RecommendRequest { user_id: user.into(), count: 26, ..Default::default() };
            let answer = served.client.recommend(request).await.expect("answered").into_inner();
            let place = |id: &str| answer.items.iter().position(|item| item.item_id == id);
            let (own, other) = (place(own).expect("listed"), place(other).expect("listed"));
            let foreign = answer.items.iter().position(|item| {
                item.item_id.starts_with(if user == "u1" { "south" } else { "north" })
            });
            assert!(own < other && own < foreign.expect("listed"), "{user}: {own}, {other}");
        }
        served.node.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_found_by_what_a_text_is_about() {
    let files = Files::new();
    for shards in [1, 2, 5] {
        let args = TrainArgs {
            items: Some(files.path("films.csv")),
            users: None,
            ..files.args(ModelKind::Content, shards)
        };
        train(&args, 0).expect("trained");
        let mut served = Served::new(&args.out, &files).await;
        let mut search = async |text: &str| {
            let request = SearchItemsRequest { text: text.into(), ..Default::default() };
            served.client.search_items(request).await.map(tonic::Response::into_inner)
        };
        let found = search("LIGHTS of North!").await.expect("answered");
        assert_eq!(found.items.len(), 10);
        assert!(found.items.iter().all(|item| item.item_id.starts_with("north")));
        assert!(found.items[0].title.starts_with("north lights"), "{:?}", found.items[0]);
        assert_eq!(found.reason(), SearchReason::Unspecified);
        // "again" is of two films.
        let found = search("again").await.expect("answered");
        let mut first: Vec<&str> =
            found.items[..2].iter().map(|item| item.item_id.as_str()).collect();
        first.sort_unstable();
        assert_eq!(first, ["north-new", "south-new"]);
        for unknown in ["zzz qqq", "?!", "0"] {
            let found = search(unknown).await.expect("answered");
            assert!(found.items.is_empty(), "{unknown}");
            assert_eq!(found.reason(), SearchReason::UnknownWords, "{unknown}");
        }
        let refused = search("").await.expect_err("refused");
        assert_eq!(refused.code(), Code::InvalidArgument);
        served.node.shutdown().await;
    }
    let args = files.args(ModelKind::Mf, 1);
    train(&args, 0).expect("trained");
    let mut served = Served::new(&args.out, &files).await;
    let request = SearchItemsRequest { text: "north".into(), ..Default::default() };
    let refused = served.client.search_items(request).await.expect_err("no texts");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("no live model of texts"), "{}", refused.message());
    served.node.shutdown().await;
}
