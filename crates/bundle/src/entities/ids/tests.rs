//! Id tables against maps.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn lookups_agree_with_a_map(
        ids in prop::collection::btree_set("[a-cé]{1,4}", 0..80),
        gaps in prop::collection::vec(0u32..5, 80),
        rotate in 0usize..80,
    ) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut ordinal = 0;
        let mut rows: Vec<(String, u32)> = ids.into_iter().zip(gaps).map(|(id, gap)| {
            ordinal += gap + 1;
            (id, ordinal)
        }).collect();
        let total = ordinal as usize + 3;
        let length = rows.len().max(1);
        let by = if rows.is_empty() { 0 } else { rotate % length };
        rows.rotate_left(by);
        let given: Vec<IdRow<'_>> = rows.iter().map(|(id, ordinal)| IdRow { id, ordinal: *ordinal, title: id }).collect();
        let info = write_ids(dir.path(), "ids".into(), &given, total, rotate % 2 == 0).expect("written");
        let table = IdTable::open(dir.path(), &info, &LoadOptions::default()).expect("opened");
        prop_assert_eq!((table.len(), table.total(), table.is_empty()), (rows.len(), total, rows.is_empty()));
        for (row, (id, ordinal)) in rows.iter().enumerate() {
            prop_assert_eq!(table.find(id), Some(row as u32));
            prop_assert_eq!(table.id(row as u32), id);
            prop_assert_eq!(table.title(row as u32), if rotate % 2 == 0 { id } else { "" });
            prop_assert_eq!(table.ordinal(row as u32), *ordinal);
        }
        for ordinal in 0..total as u32 + 2 {
            let expected = rows.iter().position(|(_, other)| *other == ordinal).map(|row| row as u32);
            prop_assert_eq!(table.row_of_ordinal(ordinal), expected);
        }
        for unknown in ["", "d", "aaaaa", "ü"] {
            prop_assert_eq!(table.find(unknown), None);
        }
        let by_ordinal: BTreeSet<u32> = table.rows_by_ordinal().iter().copied().collect();
        prop_assert_eq!(by_ordinal.len(), rows.len());
    }
}
