//! What the texts of options and of the configuration file mean: durations, rates, pairs.

use std::time::Duration;

/// `KEY=VALUE`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    if key.is_empty() || value.is_empty() {
        return Err("write KEY=VALUE, neither of them empty".into());
    }
    Ok((key.to_string(), value.to_string()))
}

/// Bytes per second: `500k`, `20M`, `1G`; a bare number is bytes.
pub fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("invalid rate {text:?}: expected bytes per second, like 500k or 20M");
    bytes(text.trim_end_matches("/s")).ok_or_else(wrong)
}

/// So many bytes, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(u64);

impl Size {
    /// `500k`, `20M`, `1G`; a bare number is bytes.
    pub fn parse(text: &str) -> Result<Size, String> {
        bytes(text).map(Size).ok_or_else(|| format!("invalid size {text:?}: expected bytes, like 500M or 2G"))
    }

    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// How far a repository may be behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxLag {
    Time(Duration),
    Size(Size),
}

impl MaxLag {
    /// A time, whose unit says that it is one, or a size.
    pub fn parse(text: &str) -> Result<MaxLag, String> {
        let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
        match (duration(text), Size::parse(text)) {
            (Ok(time), _) if !is_bare => Ok(MaxLag::Time(time)),
            (_, Ok(size)) if !is_bare => Ok(MaxLag::Size(size)),
            _ => Err(format!("invalid lag {text:?}: expected a time like 5min, or a size like 2G")),
        }
    }
}

impl From<MaxLag> for pgark_ops::wal::receive::MaxLag {
    fn from(lag: MaxLag) -> Self {
        match lag {
            MaxLag::Time(time) => Self::Time(time),
            MaxLag::Size(size) => Self::Bytes(size.bytes()),
        }
    }
}

/// `500k`, `20MB`, `1GiB`; a bare number is bytes. At least one.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.trim().parse().ok()?;
    let unit = text.get(digits.len()..).unwrap_or_default().trim_end_matches(['b', 'B']);
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// `500ms`, `30s`, `5min`, `24h`, `30d`, `8w`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let wrong = || format!("invalid duration {text:?}: expected 500ms, 30s, 5min, 2h, 7d or 2w");
    let number: u64 = digits.trim().parse().map_err(|_| wrong())?;
    match text.get(digits.len()..).unwrap_or_default() {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "min" | "m" => times(number, 60),
        "h" => times(number, 3600),
        "d" => times(number, 24 * 3600),
        "w" => times(number, 7 * 24 * 3600),
        _ => Err(wrong()),
    }
}

fn times(number: u64, seconds: u64) -> Result<Duration, String> {
    // A hundred years are forever, and still a time that clocks can be asked about.
    let most = 100 * 366 * 24 * 3600;
    let all = number.checked_mul(seconds).filter(|all| *all <= most);
    all.map(Duration::from_secs).ok_or_else(|| "too long: a hundred years at most".to_string())
}

#[cfg(test)]
mod tests {
    #[test]
    fn rates_have_units() {
        for (text, rate) in
            [("7", 7), ("500k", 500_000), ("20MB", 20_000_000), ("1MiB/s", 1 << 20), ("2G", 2_000_000_000)]
        {
            assert_eq!(super::rate(text), Ok(rate), "{text}");
        }
        for bad in ["", "0", "fast", "-1", "1.5M", "1 fortnight", "99999999999999999G"] {
            assert!(super::rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lag_is_a_time_or_a_size() {
        use super::{MaxLag, Size};
        let minutes = std::time::Duration::from_secs(300);
        assert_eq!(MaxLag::parse("5min"), Ok(MaxLag::Time(minutes)));
        assert_eq!(MaxLag::parse("5m"), Ok(MaxLag::Time(minutes)));
        assert_eq!(MaxLag::parse("2G"), Ok(MaxLag::Size(Size(2_000_000_000))));
        assert_eq!(MaxLag::parse("500M"), Ok(MaxLag::Size(Size(500_000_000))));
        for bad in ["", "7", "0G", "G", "5 fortnights", "1G/s"] {
            assert!(MaxLag::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(super::duration("30s").unwrap().as_millis(), 30_000);
        assert_eq!(super::duration("500ms").unwrap().as_millis(), 500);
        assert_eq!(super::duration("2min").unwrap().as_secs(), 120);
        assert_eq!(super::duration("7").unwrap().as_secs(), 7);
        for bad in ["", "s", "-1s", "1h30", "1 fortnight"] {
            assert!(super::duration(bad).is_err(), "{bad}");
        }
    }
}
