//! Numbers as people read them in a figure or a page. NaN and "never measured" become a dash.

/// What stands for no number.
pub const NONE: &str = "–";

/// 1234567 as "1,234,567".
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share from 0 to 1 as "12.34 %".
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.2} %", 100.0 * share) } else { NONE.into() }
}

/// Three or four significant digits: "0.0313", "1.203", "16.71", "48,212", "1.20e-7".
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        NONE.into()
    } else if size != 0.0 && !(1e-4..1e15).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 1000.0 {
        // Bound: below 10^15, far inside an integer.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= size < 10^15")]
        let whole = size.round() as u64;
        format!("{}{}", if value < 0.0 { "-" } else { "" }, grouped(whole))
    } else {
        let decimals = match size {
            100.0.. => 1,
            10.0.. => 2,
            0.1.. => 3,
            0.01.. => 4,
            0.001.. => 5,
            _ => 6,
        };
        let text = format!("{value:.decimals$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

/// As `short`, but with three digits behind the point where these say enough: numbers below each other line up.
pub fn aligned(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (0.01..1000.0).contains(&size) { format!("{value:.3}") } else { short(value) }
}

/// Seconds as "8.4 s", "12 min 5 s" or "3 h 25 min".
pub fn duration(seconds: f64) -> String {
    if !(0.0..1e9).contains(&seconds) {
        return NONE.into();
    }
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= seconds < 10^9")]
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours} h {minutes} min") } else { format!("{minutes} min {seconds} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [
            (grouped(0), "0"),
            (grouped(999), "999"),
            (grouped(1000), "1,000"),
            (grouped(1_234_567), "1,234,567"),
            (percent(0.123_44), "12.34 %"),
            (percent(f64::NAN), NONE),
            (short(0.0), "0"),
            (short(0.031_27), "0.0313"),
            (short(-1234.4), "-1,234"),
            (short(150.0), "150"),
            (short(16.7135), "16.71"),
            (short(2.09481), "2.095"),
            (short(0.142_91), "0.143"),
            (short(0.000_123_4), "0.000123"),
            (aligned(0.249), "0.249"),
            (aligned(1.5), "1.500"),
            (aligned(0.000_976), "0.000976"),
            (aligned(0.0), "0.000"),
            (aligned(f64::NAN), NONE),
            (short(1.234e-7), "1.23e-7"),
            (short(f64::INFINITY), NONE),
            (duration(8.44), "8.4 s"),
            (duration(725.0), "12 min 5 s"),
            (duration(12_300.0), "3 h 25 min"),
            (duration(f64::NAN), NONE),
        ];
        for (text, expected) in cases {
            assert_eq!(text, expected);
        }
    }
}
