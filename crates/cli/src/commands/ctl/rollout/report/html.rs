//! A report as one HTML file: no scripts, nothing from elsewhere, and everything that comes from outside escaped. Pure.

use super::escape::escaped;
use super::plot::{Line, plot};
use crate::commands::ctl::rollout::show::event_in_words;
use crate::commands::ctl::rollout::step_table::latency_ms;
use crate::commands::ctl::rollout::words::one_line;
use marquee_core::rollout::gate::Gate;
use marquee_proto::control::v1::{ArmSums, EvidencePoint, Rollout, RolloutEvidence};
use marquee_proto::convert::gate::gate_from_pb;
use std::f64::consts::LN_10;
use std::fmt::Write as _;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
pre{overflow-x:auto;background:#f6f6f6;padding:.7rem;font-size:12px}svg{width:100%;max-width:720px}\
svg text{font-size:11px;fill:#555}.grid{stroke:#ddd}polyline{fill:none;stroke-width:1.6}\
polyline.baseline{stroke:#4477aa}polyline.candidate{stroke:#cc6611}polyline.bound{stroke:#aa2222;stroke-dasharray:5 3}\
circle.baseline,span.baseline{fill:#4477aa;color:#4477aa}circle.candidate,span.candidate{fill:#cc6611;color:#cc6611}\
circle.bound,span.bound{fill:#aa2222;color:#aa2222}.legend,.none{color:#555;font-size:13px}h3{margin-bottom:.2rem}";

/// The page of a rollout. `tables`: what is known of its gates and steps, as the terminal shows it.
pub(super) fn page(rollout: &Rollout, evidence: &RolloutEvidence, tables: &[String]) -> String {
    let title = format!("{} on {}: {}", rollout.rollout_id, rollout.surface, one_line(rollout));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{0}</title>\n<style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n",
        escaped(&title)
    );
    if !rollout.waiting_for.is_empty() {
        writeln!(page, "<p>It waits for {}.</p>", escaped(&rollout.waiting_for)).expect("memory");
    }
    let history: Vec<String> = rollout.history.iter().map(event_in_words).collect();
    page += &section("What happened", &history.join("\n"));
    page += "<h2>How it went</h2>\n";
    page += &plot("The candidate's share", " %", &[share(rollout, evidence)]);
    let points = &evidence.points;
    for (title, unit, of) in MEASURED {
        page += &plot(title, unit, &both_sides(rollout, points, of));
    }
    page += "<h2>Evidence against each gate</h2>\n\
             <p>As powers of ten: the gate is breached where the line reaches its bound.</p>\n";
    for (n, gate) in rollout.gates.iter().enumerate() {
        let Ok(Gate { metric, bound, .. }) = gate_from_pb(*gate) else { continue };
        page += &plot(&format!("{metric} {bound}"), "", &evidence_of(points, n));
    }
    page += "<h2>Findings</h2>\n";
    for table in tables {
        writeln!(page, "<pre>{}</pre>", escaped(table)).expect("memory");
    }
    page + "</body></html>\n"
}

fn section(title: &str, text: &str) -> String {
    format!("<h2>{}</h2>\n<pre>{}</pre>\n", escaped(title), escaped(text))
}

type OfArm = fn(&ArmSums) -> Option<f64>;

/// What is plotted of both sides: title, unit and value.
const MEASURED: [(&str, &str, OfArm); 4] = [
    ("Errors", " %", |arm| mean(100.0 * arm.failed as f64, arm.requests)),
    ("Latency, geometric mean", " ms", latency_ms),
    ("Clicks for each answer", "", |arm| mean(arm.clicks, arm.answers_for_clicks)),
    ("Seconds played for each answer", " s", |arm| mean(arm.play_seconds, arm.answers_for_plays)),
];

fn mean(sum: f64, count: u64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

/// The candidate's share by the rollout's history, until the last measurement.
fn share(rollout: &Rollout, evidence: &RolloutEvidence) -> Line {
    let percent = |basis_points: u32| f64::from(basis_points) / 100.0;
    let events = rollout.history.iter();
    let mut points: Vec<(u64, f64)> =
        events.map(|event| (event.at_ms, percent(event.weight_basis_points))).collect();
    let last = evidence.points.last().map(|point| point.until_ms);
    if let Some(until) = last.filter(|&until| points.last().is_some_and(|(at, _)| until > *at)) {
        points.push((until, percent(rollout.weight_basis_points)));
    }
    let name = rollout.candidate.clone();
    Line { name, class: "candidate", points, is_stepped: true }
}

fn both_sides(rollout: &Rollout, points: &[EvidencePoint], of: OfArm) -> Vec<Line> {
    let sides = [("baseline", &rollout.baseline), ("candidate", &rollout.candidate)];
    let line = |(n, (class, name)): (usize, (&'static str, &String))| {
        let value = |point: &EvidencePoint| Some((point.until_ms, of(point.arms.get(n)?)?));
        let measured = points.iter().filter_map(value).collect();
        Line { name: format!("{class}, {name}"), class, points: measured, is_stepped: false }
    };
    sides.into_iter().enumerate().map(line).collect()
}

fn evidence_of(points: &[EvidencePoint], gate: usize) -> Vec<Line> {
    let line = |name: &str, class, of: fn(&EvidencePoint) -> &[f64]| {
        let value = |point: &EvidencePoint| Some((point.until_ms, of(point).get(gate)? / LN_10));
        let known = points.iter().filter_map(value).collect();
        Line { name: name.into(), class, points: known, is_stepped: false }
    };
    vec![
        line("evidence", "candidate", |point| &point.log_evidence),
        line("bound", "bound", |point| &point.log_required),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use marquee_core::rollout::gate::default_gates;
    use marquee_proto::control::v1::RolloutEvent;
    use marquee_proto::convert::gate::gate_to_pb;

    const EVIL: &str = "</pre><script>alert('x')</script><img src=\"http://evil.example/\">&\u{1b}";

    fn report() -> String {
        let event = |at_ms, weight_basis_points| RolloutEvent {
            at_ms,
            weight_basis_points,
            reason: EVIL.into(),
            ..RolloutEvent::default()
        };
        let rollout = Rollout {
            rollout_id: "home-2".into(),
            surface: EVIL.into(),
            baseline: EVIL.into(),
            candidate: EVIL.into(),
            waiting_for: EVIL.into(),
            history: vec![event(1_000, 0), event(2_000, 100)],
            weight_basis_points: 100,
            gates: default_gates().iter().map(gate_to_pb).collect(),
            ..Rollout::default()
        };
        let arm = |failed| ArmSums {
            requests: 10,
            failed,
            log_latency: 80.0,
            latencies: 10,
            ..ArmSums::default()
        };
        let point = |until_ms, failed| EvidencePoint {
            until_ms,
            weight_basis_points: 100,
            windows: 1,
            arms: vec![arm(0), arm(failed)],
            log_evidence: vec![0.5; rollout.gates.len()],
            log_required: vec![7.0; rollout.gates.len()],
        };
        let points = vec![point(4_000, 1), point(6_000, 2)];
        let evidence = RolloutEvidence { points, ..RolloutEvidence::default() };
        page(&rollout, &evidence, &[EVIL.into()])
    }

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let page = report();
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        assert!(!page.contains('\u{1b}'));
        assert!(page.contains("&lt;script&gt;"));
        assert_eq!(page.matches("</pre>").count(), page.matches("<pre>").count());
        assert_eq!(page.matches("</svg>").count(), page.matches("<svg ").count());
    }

    #[test]
    fn it_refers_to_nothing_outside_of_itself() {
        let page = report();
        for reference in ["src=", "href=", "url(", "@import", "<link", "<iframe", "<script"] {
            let escaped_ones =
                page.matches("src=&quot;").count() * usize::from(reference == "src=");
            assert_eq!(page.matches(reference).count(), escaped_ones, "{reference}");
        }
        assert!(page.contains("default-src 'none'"));
    }

    #[test]
    fn shares_both_sides_and_every_gate_are_plotted() {
        let page = report();
        // The share, four measures of which nobody clicked or played, and the gates.
        assert_eq!(page.matches("<svg ").count(), 1 + 2 + default_gates().len());
        assert_eq!(page.matches("nothing was measured").count(), 2);
        assert_eq!(page.matches("<polyline class=\"bound\"").count(), default_gates().len());
        assert_eq!(page.matches("<polyline class=\"baseline\"").count(), 2);
    }
}
