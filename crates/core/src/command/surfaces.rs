//! What operators say of a surface whatever is live there.

use super::{Outcome, Refusal, Reply, full};
use crate::bounds::{MAX_DENIED_ITEMS, MAX_NAMED};
use crate::id::{check_id, check_name};
use crate::plan::Plan;
use std::collections::BTreeSet;

/// A surface need not be known yet: what must not be shown is denied before anything goes live.
pub(super) fn change_deny_list(
    plan: &mut Plan,
    name: &str,
    clear: bool,
    remove: &[String],
    add: &[String],
) -> Outcome {
    let invalid = |error: crate::id::IdError| Refusal::Invalid(error.to_string());
    check_name("surface", name).map_err(invalid)?;
    for (field, ids) in [("remove_item_ids", remove), ("add_item_ids", add)] {
        if ids.len() > MAX_DENIED_ITEMS {
            let (count, max) = (ids.len(), MAX_DENIED_ITEMS);
            let says = format!("{field} has {count} entries: at most {max} are allowed");
            return Err(Refusal::Invalid(says));
        }
        for (n, id) in ids.iter().enumerate() {
            check_id(&format!("{field}[{n}]"), id).map_err(invalid)?;
        }
    }
    if !plan.surfaces.contains_key(name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(full("surfaces", MAX_NAMED));
    }
    let surface = plan.surfaces.entry(name.into()).or_default();
    let mut denied: BTreeSet<String> = match clear {
        true => BTreeSet::new(),
        false => surface.denied.iter().cloned().collect(),
    };
    for id in remove {
        denied.remove(id);
    }
    denied.extend(add.iter().cloned());
    if denied.len() > MAX_DENIED_ITEMS {
        return Err(Refusal::Exhausted(format!(
            "surface {name:?} would deny {} items: at most {MAX_DENIED_ITEMS} are allowed; give what belongs \
             together a tag, and have callers exclude it",
            denied.len()
        )));
    }
    surface.denied = denied.into_iter().collect();
    Ok(Reply::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_bounds() {
        let mut plan = Plan::default();
        let ids = |range: std::ops::Range<usize>| range.map(|n| n.to_string()).collect::<Vec<_>>();
        let all = ids(0..MAX_DENIED_ITEMS);
        assert_eq!(change_deny_list(&mut plan, "home", false, &[], &all), Ok(Reply::Done));
        let more = change_deny_list(&mut plan, "home", false, &[], &ids(2_000..2_001));
        let says = more.expect_err("too many in all").to_string();
        assert!(says.contains("would deny 1001 items: at most 1000 are allowed"), "{says}");
        let change = change_deny_list(&mut plan, "home", false, &ids(0..1), &ids(2_000..2_001));
        assert_eq!(change, Ok(Reply::Done));
        assert_eq!(plan.surfaces["home"].denied.len(), MAX_DENIED_ITEMS);
        let long = change_deny_list(&mut plan, "home", true, &[], &ids(0..1_001));
        assert!(long.expect_err("too long").to_string().contains("add_item_ids has 1001 entries"));
        let empty = change_deny_list(&mut plan, "home", true, &[String::new()], &[]);
        let says = empty.expect_err("no id").to_string();
        assert!(says.contains("remove_item_ids[0] is empty"), "{says}");
    }
}
