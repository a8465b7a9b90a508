//! Values that libpq refuses before it connects (fe-connect.c, pqConnectOptions2), and some that it
//! would take in silence.

use crate::conninfo::{ConnInfo, ConnInfoError};

const CHOICES: &[(&str, &[&str])] = &[
    ("sslmode", &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]),
    ("sslnegotiation", &["postgres", "direct"]),
    ("channel_binding", &["disable", "prefer", "require"]),
    ("gssencmode", &["disable", "prefer", "require"]),
    ("target_session_attrs", &["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]),
    ("load_balance_hosts", &["disable", "random"]),
    // libpq takes anything, and means "0" by all but what begins with 1.
    ("sslsni", &["0", "1", ""]),
    ("sslcertmode", &["disable", "allow", "require"]),
];

const NUMBERS: &[&str] = &[
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
];

/// Names of `ssl_min_protocol_version` and `ssl_max_protocol_version`, in order of age.
const VERSIONS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

const METHODS: &[&str] = &["password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"];

/// Every value, and those that do not go together.
pub(crate) fn values(info: &ConnInfo) -> Result<(), ConnInfoError> {
    for (keyword, choices) in CHOICES {
        let value = info.get(keyword);
        if !choices.contains(&value) {
            return Err(choice(keyword, value, choices));
        }
    }
    for keyword in NUMBERS.iter().filter(|keyword| info.has(keyword)) {
        if info.number(keyword).is_none() {
            return Err(ConnInfoError::Value { keyword, value: info.get(keyword).to_string() });
        }
    }
    protocol_versions(info)?;
    require_auth(info.get("require_auth"))?;
    weak_modes(info)?;
    info.hosts().map(|_| ())
}

/// The place of a protocol version among all; `None` where none is named. Case does not matter.
pub(crate) fn protocol_version(
    info: &ConnInfo,
    keyword: &'static str,
) -> Result<Option<usize>, ConnInfoError> {
    let value = info.get(keyword);
    if value.is_empty() {
        return Ok(None);
    }
    let place = VERSIONS.iter().position(|known| known.eq_ignore_ascii_case(value));
    place.map(Some).ok_or_else(|| choice(keyword, value, VERSIONS))
}

fn protocol_versions(info: &ConnInfo) -> Result<(), ConnInfoError> {
    let least = protocol_version(info, "ssl_min_protocol_version")?;
    let most = protocol_version(info, "ssl_max_protocol_version")?;
    match (least, most) {
        (Some(least), Some(most)) if least > most => Err(ConnInfoError::Syntax(format!(
            "ssl_min_protocol_version \"{}\" is above ssl_max_protocol_version \"{}\"",
            info.get("ssl_min_protocol_version"),
            info.get("ssl_max_protocol_version")
        ))),
        _ => Ok(()),
    }
}

/// A list of methods, or of methods with `!`, never both, and none twice: a slip of the pen would
/// be a hole.
fn require_auth(list: &str) -> Result<(), ConnInfoError> {
    if list.is_empty() {
        return Ok(());
    }
    let negative = list.starts_with('!');
    let mut seen = Vec::new();
    for entry in list.split(',') {
        if entry.starts_with('!') != negative {
            return Err(ConnInfoError::Syntax(format!(
                "require_auth=\"{list}\": methods that are required and methods (with !) that are not allowed cannot be mixed"
            )));
        }
        let method = entry.strip_prefix('!').unwrap_or(entry);
        if !METHODS.contains(&method) {
            return Err(choice("require_auth", method, METHODS));
        }
        if seen.contains(&method) {
            return Err(ConnInfoError::Syntax(format!(
                "require_auth method \"{method}\" is specified more than once"
            )));
        }
        seen.push(method);
    }
    Ok(())
}

fn weak_modes(info: &ConnInfo) -> Result<(), ConnInfoError> {
    let mode = info.get("sslmode");
    // Anybody can have a certificate of a public authority: only its name says whose server it is.
    if info.get("sslrootcert") == "system" && mode != "verify-full" {
        return Err(ConnInfoError::Syntax(format!(
            "weak sslmode \"{mode}\" may not be used with sslrootcert=system (use \"verify-full\")"
        )));
    }
    if info.get("sslnegotiation") == "direct" && matches!(mode, "disable" | "allow" | "prefer") {
        return Err(ConnInfoError::Syntax(format!(
            "weak sslmode \"{mode}\" may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \
             \"verify-full\")"
        )));
    }
    Ok(())
}

fn choice(keyword: &'static str, value: &str, choices: &[&str]) -> ConnInfoError {
    let shown: Vec<&str> = choices.iter().copied().filter(|choice| !choice.is_empty()).collect();
    ConnInfoError::Choice { keyword, value: value.to_string(), choices: shown.join(", ") }
}
