//! Plots of a report as inline SVG. Pure; numbers in, text out.

use super::escape::escaped;
use crate::output;
use std::fmt::Write as _;

/// The size of a plot, in the units of SVG.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
/// The room for the labels of the vertical axis, and for those below.
const LEFT: f64 = 70.0;
const BELOW: f64 = 22.0;
const ABOVE: f64 = 10.0;

/// A line of a plot.
pub(super) struct Line {
    /// Its name in the legend.
    pub(super) name: String,
    /// Its class in the style sheet: `baseline`, `candidate` or `bound`.
    pub(super) class: &'static str,
    /// Times in ms since the Unix epoch, ascending, and values.
    pub(super) points: Vec<(u64, f64)>,
    /// Whether a value holds until the next one.
    pub(super) is_stepped: bool,
}

/// A plot of some lines over time, or a sentence where there is nothing to plot. `unit` is behind the numbers of the axis.
pub(super) fn plot(title: &str, unit: &str, lines: &[Line]) -> String {
    let finite = |line: &Line| -> Vec<(u64, f64)> {
        line.points.iter().copied().filter(|(_, value)| value.is_finite()).collect()
    };
    let drawn: Vec<Vec<(u64, f64)>> = lines.iter().map(finite).collect();
    let all = || drawn.iter().flatten().copied();
    let heading = format!("<h3>{}</h3>\n", escaped(title));
    let (Some(from), Some(until)) = (all().map(|it| it.0).min(), all().map(|it| it.0).max()) else {
        return format!("{heading}<p class=\"none\">nothing was measured</p>\n");
    };
    let lowest = all().map(|it| it.1).fold(0.0, f64::min);
    let highest = all().map(|it| it.1).fold(lowest, f64::max);
    let highest = if highest > lowest { highest } else { lowest + 1.0 };
    let x = |at: u64| {
        let share = (at - from) as f64 / (until - from).max(1) as f64;
        LEFT + share * (WIDTH - LEFT - 10.0)
    };
    let y = |value: f64| {
        let share = (value - lowest) / (highest - lowest);
        ABOVE + (1.0 - share) * (HEIGHT - ABOVE - BELOW)
    };
    let mut svg = format!(
        "{heading}<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
        escaped(title)
    );
    for value in [lowest, (lowest + highest) / 2.0, highest] {
        let at = y(value);
        writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}{}</text>",
            LEFT - 6.0,
            at + 4.0,
            short(value),
            escaped(unit)
        )
        .expect("memory");
    }
    let bottom = HEIGHT - 5.0;
    writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{bottom}\">{}</text><text x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">{}</text>",
        escaped(&output::moment(from)),
        WIDTH - 10.0,
        escaped(&output::moment(until))
    )
    .expect("memory");
    for (line, points) in lines.iter().zip(&drawn) {
        let mut path = String::new();
        let mut before: Option<f64> = None;
        for &(at, value) in points {
            if let (true, Some(held)) = (line.is_stepped, before) {
                write!(path, " {:.1},{:.1}", x(at), y(held)).expect("memory");
            }
            write!(path, " {:.1},{:.1}", x(at), y(value)).expect("memory");
            before = Some(value);
        }
        writeln!(svg, "<polyline class=\"{}\" points=\"{}\"/>", line.class, path.trim_start())
            .expect("memory");
        if let [(at, value)] = points[..] {
            let (cx, cy) = (x(at), y(value));
            writeln!(
                svg,
                "<circle class=\"{}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2\"/>",
                line.class
            )
            .expect("memory");
        }
    }
    svg += "</svg>\n<p class=\"legend\">";
    for line in lines {
        write!(svg, "<span class=\"{}\">■</span> {} ", line.class, escaped(&line.name))
            .expect("memory");
    }
    svg + "</p>\n"
}

/// A number of an axis, short.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: &[(u64, f64)]) -> Line {
        Line { name: "a<b".into(), class: "candidate", points: points.into(), is_stepped: false }
    }

    #[test]
    fn lines_are_within_the_plot_and_numbers_are_numbers() {
        let svg = plot("t", " ms", &[line(&[(5, 1.0), (10, f64::NAN), (15, -3.0), (20, 1e9)])]);
        let path =
            svg.split("points=\"").nth(1).and_then(|it| it.split('"').next()).expect("a line");
        let points: Vec<&str> = path.split(' ').collect();
        assert_eq!(points.len(), 3, "what is no number is left out: {path}");
        for point in points {
            let (x, y) = point.split_once(',').expect("a pair");
            let (x, y): (f64, f64) = (x.parse().expect("x"), y.parse().expect("y"));
            assert!((0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y), "{point}");
        }
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"), "{svg}");
    }

    #[test]
    fn nothing_and_one_point_are_no_error() {
        assert!(plot("t", "", &[line(&[])]).contains("nothing was measured"));
        assert!(plot("t", "", &[]).contains("nothing was measured"));
        let one = plot("t", "", &[line(&[(u64::MAX, 0.0)])]);
        assert!(one.contains("<circle") && !one.contains("NaN"), "{one}");
    }
}
