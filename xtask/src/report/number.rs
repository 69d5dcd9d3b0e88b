//! Figures as people read them.

/// `figure` with four significant digits; whole numbers in full, with thousands set apart from 10,000 on.
pub(crate) fn figure(figure: f64) -> String {
    if figure.fract() == 0.0 && figure.abs() < 1e15 {
        return grouped(&format!("{figure:.0}"));
    }
    let magnitude = figure.abs().log10().floor();
    if !(-4.0..15.0).contains(&magnitude) {
        return format!("{figure:.3e}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
    let decimals = (3.0 - magnitude).max(0.0) as usize;
    let text = format!("{figure:.decimals$}");
    if decimals == 0 {
        return grouped(&text);
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |rest| ("-", rest));
    if digits.len() < 5 {
        return format!("{sign}{digits}");
    }
    let mut text = sign.to_owned();
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A duration in seconds, for a line of facts.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    if seconds < 120.0 {
        return format!("{seconds:.0} s");
    }
    format!("{:.1} min", seconds / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (126.0, "126"),
            (2700.0, "2700"),
            (266_200.0, "266,200"),
            (-1_234_567.0, "-1,234,567"),
            (64.8249, "64.82"),
            (1.64, "1.64"),
            (39.236, "39.24"),
            (0.028_412, "0.02841"),
            (7418.7, "7419"),
            (99_999.6, "100,000"),
            (-2.5, "-2.5"),
            (0.000_012_34, "1.234e-5"),
            (9.99996, "10"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn durations_change_unit_with_their_size() {
        assert_eq!(seconds(0.04), "0.0 s");
        assert_eq!(seconds(75.2), "75 s");
        assert_eq!(seconds(180.0), "3.0 min");
    }
}
