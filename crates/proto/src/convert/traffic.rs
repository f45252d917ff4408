//! What the answers on surfaces are like ↔ `marquee.control.v1`.

use super::error::{Result, map_of_unique_keys};
use crate::generated::control::v1 as pb;
use marquee_core::rollout::traffic::{
    AllTraffic, MeasuredSegment, SegmentTraffic, SurfaceTraffic, VariantTraffic, keep,
};
use marquee_core::rollout::window::Measure;

/// The wire form of a window of a surface's traffic.
pub fn surface_traffic_to_pb(surface: &str, traffic: &SurfaceTraffic) -> pb::SurfaceTraffic {
    let SurfaceTraffic { from_ms, until_ms, automated, dropped, variants, segments } = traffic;
    pb::SurfaceTraffic {
        surface: surface.into(),
        from_ms: *from_ms,
        until_ms: *until_ms,
        automated: *automated,
        dropped: *dropped,
        variants: variants.iter().map(|(name, it)| variant_to_pb(name, it)).collect(),
        segments: segments.iter().map(|(key, it)| segment_to_pb(key, it)).collect(),
    }
}

/// Reads a window of a surface's traffic from its wire form, with the surface.
pub fn surface_traffic_from_pb(traffic: pb::SurfaceTraffic) -> Result<(String, SurfaceTraffic)> {
    let pb::SurfaceTraffic { surface, from_ms, until_ms, automated, dropped, variants, segments } =
        traffic;
    let variants = variants.into_iter().map(|variant| Ok(variant_from_pb(variant)));
    let variants = map_of_unique_keys("traffic.variants", variants)?;
    let segments = segments.into_iter().map(|segment| Ok(segment_from_pb(segment)));
    let segments = map_of_unique_keys("traffic.segments", segments)?;
    Ok((surface, SurfaceTraffic { from_ms, until_ms, automated, dropped, variants, segments }))
}

/// The wire form of the traffic of surfaces, of one surface, or of all where none is named.
pub fn all_traffic_to_pb(all: &AllTraffic, surface: &str) -> Vec<pb::SurfaceTraffic> {
    all.iter()
        .filter(|(name, _)| surface.is_empty() || *name == surface)
        .flat_map(|(name, windows)| windows.iter().map(move |it| surface_traffic_to_pb(name, it)))
        .collect()
}

/// Reads the traffic of surfaces from its wire form.
pub fn all_traffic_from_pb(windows: Vec<pb::SurfaceTraffic>) -> Result<AllTraffic> {
    let mut all = AllTraffic::new();
    for window in windows {
        let (surface, window) = surface_traffic_from_pb(window)?;
        keep(&mut all, &surface, window);
    }
    Ok(all)
}

fn segment_to_pb(
    MeasuredSegment { segment, variant }: &MeasuredSegment,
    traffic: &SegmentTraffic,
) -> pb::SegmentTraffic {
    let SegmentTraffic {
        requests,
        error_rate,
        empty_rate,
        fallback_rate,
        mean_latency_micros,
        clicks_per_answer,
        play_seconds_per_answer,
        purchases_per_answer,
    } = *traffic;
    pb::SegmentTraffic {
        segment: segment.clone(),
        variant: variant.clone(),
        requests,
        error_rate,
        empty_rate,
        fallback_rate,
        mean_latency_micros,
        clicks_per_answer,
        play_seconds_per_answer,
        purchases_per_answer,
    }
}

fn segment_from_pb(traffic: pb::SegmentTraffic) -> (MeasuredSegment, SegmentTraffic) {
    let pb::SegmentTraffic {
        segment,
        variant,
        requests,
        error_rate,
        empty_rate,
        fallback_rate,
        mean_latency_micros,
        clicks_per_answer,
        play_seconds_per_answer,
        purchases_per_answer,
    } = traffic;
    let traffic = SegmentTraffic {
        requests,
        error_rate,
        empty_rate,
        fallback_rate,
        mean_latency_micros,
        clicks_per_answer,
        play_seconds_per_answer,
        purchases_per_answer,
    };
    (MeasuredSegment { segment, variant }, traffic)
}

fn variant_to_pb(name: &str, variant: &VariantTraffic) -> pb::VariantTraffic {
    let VariantTraffic {
        requests,
        errors,
        latency_micros,
        empty_rate,
        partial_rate,
        fallback_rate,
        list_similarity,
        distinct_items,
        score,
        clicks_per_answer,
        play_seconds_per_answer,
        purchases_per_answer,
        reward_variances,
    } = variant;
    let variance = |reward| reward_variances.get(&reward).copied();
    pb::VariantTraffic {
        variant: name.into(),
        requests: *requests,
        errors: errors.iter().map(|(&code, &count)| (code, count)).collect(),
        latency_p50_micros: latency_micros.map(|[p50, ..]| p50),
        latency_p95_micros: latency_micros.map(|[_, p95, _]| p95),
        latency_p99_micros: latency_micros.map(|[.., p99]| p99),
        empty_rate: *empty_rate,
        partial_rate: *partial_rate,
        fallback_rate: *fallback_rate,
        list_similarity: *list_similarity,
        distinct_items: *distinct_items,
        score_p10: score.map(|[p10, ..]| p10),
        score_p50: score.map(|[_, p50, _]| p50),
        score_p90: score.map(|[.., p90]| p90),
        clicks_per_answer: *clicks_per_answer,
        play_seconds_per_answer: *play_seconds_per_answer,
        purchases_per_answer: *purchases_per_answer,
        clicks_variance: variance(Measure::Clicks),
        play_seconds_variance: variance(Measure::PlaySeconds),
        purchases_variance: variance(Measure::Purchases),
    }
}

fn variant_from_pb(variant: pb::VariantTraffic) -> (String, VariantTraffic) {
    let pb::VariantTraffic {
        variant: name,
        requests,
        errors,
        latency_p50_micros,
        latency_p95_micros,
        latency_p99_micros,
        empty_rate,
        partial_rate,
        fallback_rate,
        list_similarity,
        distinct_items,
        score_p10,
        score_p50,
        score_p90,
        clicks_per_answer,
        play_seconds_per_answer,
        purchases_per_answer,
        clicks_variance,
        play_seconds_variance,
        purchases_variance,
    } = variant;
    let variances = [
        (Measure::Clicks, clicks_variance),
        (Measure::PlaySeconds, play_seconds_variance),
        (Measure::Purchases, purchases_variance),
    ];
    let known = variances.into_iter().filter_map(|(reward, variance)| Some((reward, variance?)));
    let variant = VariantTraffic {
        requests,
        errors: errors.into_iter().collect(),
        latency_micros: all(latency_p50_micros, latency_p95_micros, latency_p99_micros),
        empty_rate,
        partial_rate,
        fallback_rate,
        list_similarity,
        distinct_items,
        score: all(score_p10, score_p50, score_p90),
        clicks_per_answer,
        play_seconds_per_answer,
        purchases_per_answer,
        reward_variances: known.collect(),
    };
    (name, variant)
}

fn all<T>(one: Option<T>, two: Option<T>, three: Option<T>) -> Option<[T; 3]> {
    Some([one?, two?, three?])
}
