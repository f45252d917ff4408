//! The values of one scrape, and their text.

use super::definition::{Definition, MetricKind};
use super::list::ALL_METRICS;
use marquee_core::duration_counts::{CountedDurations, DURATION_BOUNDS_MICROS};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;

/// The most series of one metric: what is beyond it is left out, so that a plan of thousands of versions makes no scrape of
/// many megabytes.
pub(crate) const MAX_SERIES: usize = 5_000;

/// The value of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Counter(u64),
    /// A counter of fractions, such as seconds.
    CounterSum(f64),
    Gauge(f64),
    Histogram(CountedDurations),
}

/// The labels of a series, in the order of its definition.
#[derive(Clone, Debug)]
struct Labels(Vec<(&'static str, String)>);

impl EncodeLabelSet for Labels {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

/// The values of one scrape.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    by_name: BTreeMap<&'static str, Vec<(Labels, Value)>>,
}

impl Samples {
    /// The value of a counter.
    pub(super) fn counter(&mut self, of: &'static Definition, labels: &[&str], value: u64) {
        debug_assert_eq!(of.kind, MetricKind::Counter, "{}", of.name);
        self.add(of, labels, Value::Counter(value));
    }

    /// The value of a counter of fractions.
    pub(super) fn counter_sum(&mut self, of: &'static Definition, labels: &[&str], value: f64) {
        debug_assert_eq!(of.kind, MetricKind::Counter, "{}", of.name);
        self.add(of, labels, Value::CounterSum(value));
    }

    /// The value of a gauge.
    pub(super) fn gauge(&mut self, of: &'static Definition, labels: &[&str], value: f64) {
        debug_assert_eq!(of.kind, MetricKind::Gauge, "{}", of.name);
        self.add(of, labels, Value::Gauge(value));
    }

    /// The value of a gauge that counts something.
    pub(super) fn count(&mut self, of: &'static Definition, labels: &[&str], value: usize) {
        self.gauge(of, labels, value as f64);
    }

    /// The value of a histogram: counted durations.
    pub(super) fn durations(
        &mut self,
        of: &'static Definition,
        labels: &[&str],
        value: CountedDurations,
    ) {
        debug_assert_eq!(of.kind, MetricKind::Histogram, "{}", of.name);
        self.add(of, labels, Value::Histogram(value));
    }

    fn add(&mut self, of: &'static Definition, labels: &[&str], value: Value) {
        debug_assert_eq!(of.labels.len(), labels.len(), "the labels of {}", of.name);
        let series = self.by_name.entry(of.name).or_default();
        if series.len() < MAX_SERIES {
            let named = of.labels.iter().zip(labels);
            let labels = named.map(|(name, value)| (*name, (*value).to_owned())).collect();
            series.push((Labels(labels), value));
        }
    }

    /// The text of all metrics of the list; those without values have their type and meaning alone.
    pub(crate) fn text(self, format: TextFormat) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut written = String::new();
        match format {
            TextFormat::Prometheus => prometheus_text::encode(&mut written, &registry)?,
            TextFormat::OpenMetrics => text::encode(&mut written, &registry)?,
        }
        Ok(written)
    }
}

/// A text format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextFormat {
    /// The format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl TextFormat {
    /// The format that a scraper wants, by its header `accept`.
    pub(super) fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Its content type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for definition in ALL_METRICS {
            let unit = definition.encoded_unit();
            let kind = definition.encoded_kind();
            let (stem, meaning) = (definition.stem(), definition.meaning);
            let mut metric = encoder.encode_descriptor(stem, meaning, unit.as_ref(), kind)?;
            for (labels, value) in self.by_name.get(definition.name).into_iter().flatten() {
                if labels.0.is_empty() {
                    encode_value(&mut metric, value)?;
                } else {
                    encode_value(&mut metric.encode_family(labels)?, value)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_value(metric: &mut MetricEncoder<'_>, value: &Value) -> Result<(), fmt::Error> {
    match value {
        Value::Counter(value) => metric.encode_counter::<NoLabelSet, u64, f64>(value, None),
        Value::CounterSum(value) => metric.encode_counter::<NoLabelSet, f64, f64>(value, None),
        Value::Gauge(value) => metric.encode_gauge(value),
        Value::Histogram(CountedDurations { counts, sum }) => {
            let bounds = DURATION_BOUNDS_MICROS.map(|micros| micros as f64 / 1e6);
            let bounds = bounds.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(*counts).collect();
            let count = counts.iter().sum();
            metric.encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::list;
    use super::*;
    use std::time::Duration;

    fn lines_of(text: &str, name: &str) -> Vec<String> {
        text.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
    }

    #[test]
    fn both_formats_name_all_metrics_and_escape_label_values() {
        let mut samples = Samples::default();
        samples.counter(&list::REFUSED_CALLS, &["a\"b\nc"], 3);
        let text = samples.text(TextFormat::Prometheus).expect("text");
        for definition in ALL_METRICS {
            let (name, kind) = (definition.name, definition.kind);
            assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        }
        let line = "marquee_refused_calls_total{reason=\"a\\\"b\\nc\"} 3";
        assert!(text.lines().any(|found| found == line), "{text}");
        let mut samples = Samples::default();
        samples.counter(&list::REFUSED_CALLS, &["quota"], 3);
        let text = samples.text(TextFormat::OpenMetrics).expect("text");
        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("# TYPE marquee_refused_calls counter\n"));
        assert!(text.contains("marquee_refused_calls_total{reason=\"quota\"} 3\n"));
    }

    #[test]
    fn a_histogram_counts_up_and_has_its_sum() {
        let mut samples = Samples::default();
        let counts = marquee_core::duration_counts::DurationCounts::default();
        counts.add(Duration::from_micros(200));
        counts.add(Duration::from_secs(60));
        samples.durations(&list::RAFT_COMMIT_DURATION, &[], counts.read());
        let text = samples.text(TextFormat::Prometheus).expect("text");
        let lines = lines_of(&text, "raft_commit_duration_seconds");
        for line in [
            "marquee_raft_commit_duration_seconds_sum 60.0002",
            "marquee_raft_commit_duration_seconds_count 2",
            "marquee_raft_commit_duration_seconds_bucket{le=\"0.0001\"} 0",
            "marquee_raft_commit_duration_seconds_bucket{le=\"0.00025\"} 1",
            "marquee_raft_commit_duration_seconds_bucket{le=\"10\"} 1",
            "marquee_raft_commit_duration_seconds_bucket{le=\"+Inf\"} 2",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} in {lines:#?}");
        }
    }

    #[test]
    fn a_metric_has_a_bounded_number_of_series() {
        let mut samples = Samples::default();
        for n in 0..MAX_SERIES + 10 {
            samples.counter(&list::REFUSED_CALLS, &[&n.to_string()], 1);
        }
        let text = samples.text(TextFormat::Prometheus).expect("text");
        assert_eq!(lines_of(&text, "marquee_refused_calls_total{").len(), MAX_SERIES);
    }
}
