//! Lookups find vectors and histories by external id, in the shard that holds them.

mod support;

use marquee_proto::shard::v1::{Entity, LookupKey, LookupOp, LookupRequest, Row};
use support::{Catalogue, Cluster, ITEMS, USERS, bytes_of, home, version};

fn keys<'a>(ids: impl IntoIterator<Item = &'a String>, shards: u32) -> Vec<LookupKey> {
    ids.into_iter().map(|id| LookupKey { shard: home(id, shards), id: id.clone() }).collect()
}

fn op(entity: Entity, keys: Vec<LookupKey>, dense: &str, sparse: &str) -> LookupOp {
    LookupOp {
        version: version(1),
        entity: entity.into(),
        keys,
        dense_matrix: dense.into(),
        sparse_matrix: sparse.into(),
        ..LookupOp::default()
    }
}

#[tokio::test]
async fn items_say_which_tags_they_have_if_asked() {
    let catalogue = Catalogue::new(1);
    let cluster = Cluster::with(&catalogue, 2).await;
    let keys = |id: &str| vec![LookupKey { shard: home(id, 2), id: id.into() }];
    let tagged = |id: &str| LookupOp { tags: true, ..op(Entity::Item, keys(id), "", "") };
    let ops = vec![tagged("4"), tagged("7"), op(Entity::Item, keys("4"), "", "")];
    let answer = cluster.look_up(LookupRequest { plan_epoch: 1, ops }).await.expect("an answer");
    let tags: Vec<&[String]> =
        answer.results.iter().map(|result| result.rows[0].tags.as_slice()).collect();
    assert_eq!(tags, [&["even".to_owned()][..], &["odd".to_owned()][..], &[][..]]);
    let of_users = LookupOp { entity: Entity::User.into(), ..tagged("user-1") };
    let refused = cluster
        .look_up(LookupRequest { plan_epoch: 1, ops: vec![of_users] })
        .await
        .expect_err("users have no tags");
    assert!(refused.message().contains("ops[0].tags: items have tags"), "{refused}");
}

#[tokio::test]
async fn users_and_items_in_one_call_each_in_order() {
    let catalogue = Catalogue::new(1);
    let cluster = Cluster::with(&catalogue, 3).await;
    let unknown = "unknown".to_owned();
    let users: Vec<&String> = catalogue.users.iter().chain([&unknown]).collect();
    let ops = vec![
        op(Entity::User, keys(users, 3), "user_factors", "history"),
        op(Entity::Item, keys(&catalogue.items, 3), "item_factors", ""),
        op(Entity::Item, Vec::new(), "", ""),
        op(Entity::User, keys([&catalogue.users[5]], 3), "", ""),
    ];
    let request = LookupRequest { plan_epoch: 1, ops };
    let results = cluster.look_up(request).await.expect("an answer").results;
    let sizes: Vec<usize> = results.iter().map(|result| result.rows.len()).collect();
    assert_eq!(sizes, [USERS + 1, ITEMS, 0, 1]);
    for (user, row) in results[0].rows[..USERS].iter().enumerate() {
        assert!(row.found);
        assert_eq!(row.vector, bytes_of(&catalogue.user_factors[user]));
        let history = &catalogue.history[user];
        assert_eq!(row.columns, history.keys().copied().collect::<Vec<u32>>());
        assert_eq!(row.values, history.values().copied().collect::<Vec<f32>>());
    }
    assert_eq!(results[0].rows[USERS], Row::default(), "an unknown user isn't found");
    for (item, row) in results[1].rows.iter().enumerate() {
        assert_eq!((row.found, row.ordinal), (true, item as u32));
        assert_eq!(row.vector, bytes_of(&catalogue.item_factors[item]));
        assert!(row.columns.is_empty() && row.values.is_empty());
    }
    let bare = &results[3].rows[0];
    assert!(bare.found && bare.vector.is_empty() && bare.columns.is_empty());
}

#[tokio::test]
async fn items_are_found_by_number_wherever_they_are() {
    let catalogue = Catalogue::new(1);
    let cluster = Cluster::with(&catalogue, 3).await;
    let wanted = [5, 0, 11, ITEMS as u32, u32::MAX];
    let by_number = |shards: &[u32]| LookupOp {
        ordinals: wanted.to_vec(),
        ordinal_shards: shards.to_vec(),
        ..op(Entity::Item, keys([&catalogue.items[3]], 3), "item_factors", "")
    };
    let look_up = async |op: LookupOp| {
        let request = LookupRequest { plan_epoch: 1, ops: vec![op] };
        Ok::<_, tonic::Status>(cluster.look_up(request).await?.results.remove(0))
    };
    let all = look_up(by_number(&[0, 1, 2])).await.expect("an answer");
    assert_eq!(all.rows.len(), 1, "ids beside them");
    assert_eq!(all.rows[0].ordinal, 3);
    let found: std::collections::BTreeSet<u32> =
        all.ordinal_rows.iter().map(|row| row.ordinal).collect();
    assert_eq!(found, [0, 5, 11].into());
    assert_eq!(all.ordinal_names.len(), 3);
    for (row, name) in all.ordinal_rows.iter().zip(&all.ordinal_names) {
        let item = row.ordinal as usize;
        assert_eq!(row.vector, bytes_of(&catalogue.item_factors[item]));
        assert_eq!((name.ordinal, &name.item_id), (row.ordinal, &catalogue.items[item]));
    }
    let one = look_up(by_number(&[home(&catalogue.items[5], 3)])).await.expect("an answer");
    assert!(one.ordinal_rows.iter().any(|row| row.ordinal == 5));
    let here = |row: &Row| home(&catalogue.items[row.ordinal as usize], 3);
    assert!(one.ordinal_rows.iter().all(|row| here(row) == home(&catalogue.items[5], 3)));
    let of_users = LookupOp {
        entity: Entity::User.into(),
        keys: vec![],
        dense_matrix: String::new(),
        ..by_number(&[0])
    };
    let refused = look_up(of_users).await.expect_err("by id only");
    assert!(refused.message().contains("ops[0].ordinals: items"), "{refused}");
    let nowhere = look_up(by_number(&[])).await.expect_err("no shard");
    assert!(nowhere.message().contains("ops[0].ordinal_shards"), "{nowhere}");
    let many = LookupOp { ordinals: vec![0; 1_001], ..by_number(&[0]) };
    let refused = look_up(many).await.expect_err("too many");
    assert!(refused.message().contains("at most 1000"), "{refused}");
}

#[tokio::test]
async fn only_the_shard_that_is_named_is_asked() {
    let catalogue = Catalogue::new(2);
    let cluster = Cluster::with(&catalogue, 3).await;
    let id = catalogue.users[0].clone();
    let elsewhere = LookupKey { shard: (home(&id, 3) + 1) % 3, id };
    let ops = vec![op(Entity::User, vec![elsewhere], "user_factors", "history")];
    let answer = cluster.look_up(LookupRequest { plan_epoch: 1, ops }).await.expect("an answer");
    assert_eq!(answer.results[0].rows, [Row::default()]);
}
