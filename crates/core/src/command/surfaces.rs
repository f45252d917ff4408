//! Commands on surfaces, whatever is live there: deny lists and traffic.

use super::error::CommandError;
use super::reply::Reply;
use crate::bounds::{MAX_DENIED_ITEMS, MAX_NAMED};
use crate::id::{check_id, check_name};
use crate::plan::{Plan, SegmentedAttribute, Segments, Surface};
use crate::rollout::experiment::ExperimentState;
use crate::rollout::traffic::{AllTraffic, SurfaceTraffic, keep};
use std::collections::{BTreeMap, BTreeSet};

/// Keeps one window of traffic of each surface that the plan knows.
pub(super) fn record_traffic(
    plan: &Plan,
    traffic: &mut AllTraffic,
    windows: &BTreeMap<String, SurfaceTraffic>,
) -> Reply {
    for (surface, window) in windows {
        if plan.surfaces.contains_key(surface) {
            keep(traffic, surface, window.clone());
        }
    }
    Reply::Done
}

/// Changes which items a surface never shows: first `clear`, then `remove`, then `add`. The surface need not
/// be known yet: what must not be shown is denied before anything goes live.
pub(super) fn change_deny_list(
    plan: &mut Plan,
    surface_name: &str,
    clear: bool,
    remove: &[String],
    add: &[String],
) -> Result<Reply, CommandError> {
    check_name("surface", surface_name)?;
    for (field, ids) in [("remove_item_ids", remove), ("add_item_ids", add)] {
        if ids.len() > MAX_DENIED_ITEMS {
            return Err(CommandError::TooManyItemIds { field, count: ids.len() });
        }
        for (n, id) in ids.iter().enumerate() {
            check_id(&format!("{field}[{n}]"), id)?;
        }
    }
    let surface = surface_or_new(plan, surface_name)?;
    let mut denied = BTreeSet::new();
    if !clear {
        denied.extend(surface.denied.iter().cloned());
    }
    for id in remove {
        denied.remove(id);
    }
    denied.extend(add.iter().cloned());
    if denied.len() > MAX_DENIED_ITEMS {
        let (surface, count) = (surface_name.into(), denied.len());
        return Err(CommandError::DenyListFull { surface, count });
    }
    surface.denied = denied.into_iter().collect();
    Ok(Reply::Done)
}

/// Sets the segments that trials on a surface are reported by. The surface need not be known yet.
///
/// # Errors
/// Segments that cannot be used, or a trial that runs on the surface: what was measured of it is by the segments that there were.
pub(super) fn set_segments(
    plan: &mut Plan,
    surface_name: &str,
    attributes: &[SegmentedAttribute],
) -> Result<Reply, CommandError> {
    check_name("surface", surface_name)?;
    let segments = Segments::new(attributes)?;
    let rollout = plan.surfaces.get(surface_name).and_then(|it| it.rollout_id.as_deref());
    let mut experiments = plan
        .experiments
        .iter()
        .filter(|it| it.surface == surface_name && it.state != ExperimentState::Stopped);
    if let Some(trial) = rollout.or_else(|| experiments.next().map(|it| it.id.as_str())) {
        let (surface, trial) = (surface_name.into(), trial.into());
        return Err(CommandError::SegmentsInUse { surface, trial });
    }
    surface_or_new(plan, surface_name)?.segments = segments;
    Ok(Reply::Done)
}

/// The surface of this name, a new one if there is none.
fn surface_or_new<'a>(plan: &'a mut Plan, name: &str) -> Result<&'a mut Surface, CommandError> {
    if !plan.surfaces.contains_key(name) && plan.surfaces.len() >= MAX_NAMED {
        return Err(CommandError::Full { what: "surfaces", bound: MAX_NAMED });
    }
    Ok(plan.surfaces.entry(name.into()).or_default())
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
