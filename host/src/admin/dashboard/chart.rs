//! Small lines of the last five minutes.

use maud::{Markup, html};

use crate::admin::live::{POINTS, Point, Series};

const WIDTH: usize = 2 * (POINTS - 1);
const HEIGHT: f32 = 28.0;

/// Two values of each point, the first as a full line and the second as a dashed one, on one scale.
/// `label` says what they are, for those that can't see it.
pub(super) fn chart(series: &Series, label: &str, values: fn(&Point) -> (f32, f32)) -> Markup {
    let all = || series.points.iter().map(values);
    if series.points.len() < 2 {
        return html! { span.dim { "too early" } };
    }
    let most = all().fold(0.0_f32, |most, (a, b)| most.max(a).max(b));
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) width=(WIDTH) height=(HEIGHT)
            preserveAspectRatio="none" role="img"
            aria-label=(label) {
            polyline.second points=(line(all().map(|(_, b)| b), series.points.len(), most)) {}
            polyline.first points=(line(all().map(|(a, _)| a), series.points.len(), most)) {}
        }
    }
}

/// The newest point is at the right edge.
fn line(values: impl Iterator<Item = f32>, count: usize, most: f32) -> String {
    let first = POINTS.saturating_sub(count);
    let points = values.enumerate().map(|(at, value)| {
        let share = if most > 0.0 { value / most } else { 0.0 };
        let y = (HEIGHT - 2.0) * (1.0 - share) + 1.0;
        format!("{},{y:.0}", 2 * (first + at))
    });
    points.collect::<Vec<_>>().join(" ")
}

/// Requests, and those that failed.
pub(super) fn traffic(series: &Series, of: &str) -> Markup {
    let label = format!(
        "{of} in five minutes: now {} per second, {} of them failing",
        rate(series.now.per_second),
        rate(series.now.errors_per_second)
    );
    chart(series, &label, |p| (p.per_second, p.errors_per_second))
}

/// The median time and the 99th percentile; `time` writes one.
pub(super) fn times(series: &Series, of: &str, time: fn(u64) -> String) -> Markup {
    let label = format!(
        "time of {of} in five minutes: now {} at the median, {} for 99 %",
        time(series.now.p50.into()),
        time(series.now.p99.into())
    );
    chart(series, &label, |p| (p.p50 as f32, p.p99 as f32))
}

/// A time in its unit; a dash if nothing took any.
pub(super) fn time(value: u32, unit: fn(u64) -> String) -> String {
    match value {
        0 => "\u{2013}".to_owned(),
        value => unit(value.into()),
    }
}

/// `0`, `0.4`, `12`, `1,234`: a number per second.
pub(super) fn rate(per_second: f32) -> String {
    match per_second {
        p if p <= 0.0 => "0".to_owned(),
        p if p < 0.05 => "< 0.1".to_owned(),
        p if p < 9.95 => format!("{p:.1}"),
        p => crate::units::number(p.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_at_the_right_and_fills_the_height() {
        let mut series = Series::default();
        for n in [0.0, 5.0, 10.0] {
            series.points.push_back(Point {
                per_second: n,
                ..Point::default()
            });
        }
        let drawn = traffic(&series, "requests").into_string();
        assert!(drawn.contains("points=\"114,27 116,14 118,1\""), "{drawn}");
        assert!(drawn.contains("points=\"114,27 116,27 118,27\""), "{drawn}");
        assert!(drawn.contains("now 0 per second"), "{drawn}");
    }

    #[test]
    fn a_rate_is_never_rounded_to_nothing() {
        let all = [0.0, 0.01, 0.44, 9.96, 1_234.4].map(rate);
        assert_eq!(all, ["0", "< 0.1", "0.4", "10", "1,234"]);
    }
}
