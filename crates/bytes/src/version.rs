//! Server version numbers.

/// A server's version as `server_version_num` counts: 150018 is 15.18, 90624 is 9.6.24.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion(i32);

impl ServerVersion {
    /// From `server_version_num`.
    pub const fn from_num(num: i32) -> Self {
        ServerVersion(num)
    }

    /// From the text of `server_version` or of an archive's header:
    /// `15.18 (Debian 15.18-0+deb12u1)`, `18beta2`, `9.6.24`. Suffixes are dropped; `None` when
    /// there is no leading number.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (numbers, _) = text.split_at(end);
        let mut parts = numbers.split('.').map(|p| p.parse::<i32>().ok());
        let major = parts.next()??;
        let second = parts.next().flatten().unwrap_or(0);
        let third = parts.next().flatten().unwrap_or(0);
        if !(1..=9999).contains(&major) || second > 9999 || third > 99 {
            return None;
        }
        if major >= 10 {
            return Some(ServerVersion(major * 10_000 + second));
        }
        if second > 99 {
            return None;
        }
        Some(ServerVersion(major * 10_000 + second * 100 + third))
    }

    /// The number as `server_version_num` gives it.
    pub const fn num(self) -> i32 {
        self.0
    }

    /// The major version: 15 for 150018. Before 10 the first number only (9 for 90624).
    pub const fn major(self) -> i32 {
        self.0 / 10_000
    }

    /// The minor version: 18 for 150018.
    pub const fn minor(self) -> i32 {
        if self.0 >= 100_000 { self.0 % 10_000 } else { self.0 % 100 }
    }
}

impl std::fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 >= 100_000 {
            write!(f, "{}.{}", self.major(), self.minor())
        } else {
            write!(f, "{}.{}.{}", self.0 / 10_000, self.0 / 100 % 100, self.0 % 100)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text() {
        let v = ServerVersion::from_num(150018);
        assert_eq!((v.major(), v.minor(), v.to_string().as_str()), (15, 18, "15.18"));
        assert_eq!(ServerVersion::parse("15.18 (Debian 15.18-0+deb12u1)"), Some(v));
        assert_eq!(ServerVersion::parse("18beta2").map(|v| v.to_string()).as_deref(), Some("18.0"));
        assert_eq!(ServerVersion::parse("9.6.24").map(ServerVersion::num), Some(90624));
        assert_eq!(ServerVersion::from_num(90624).to_string(), "9.6.24");
        assert_eq!(ServerVersion::parse("devel"), None);
        assert_eq!(ServerVersion::parse("99999999999"), None);
    }
}
