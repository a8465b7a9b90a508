//! Whether a certificate is for the host that was asked for, by libpq's rules (fe-secure-common.c
//! and fe-secure-openssl.c), which are not OpenSSL's: an address can be in the common name, `*` is
//! one whole label.

use std::net::IpAddr;

use openssl::nid::Nid;
use openssl::x509::X509Ref;

/// Refuses with the names that the certificate has.
pub(crate) fn check(certificate: &X509Ref, host: &str) -> Result<(), String> {
    let address: Option<IpAddr> = host.parse().ok();
    let mut names = Vec::new();
    // A name of the host's own kind takes the common name out of consideration (RFC 6125).
    let mut has_own_kind = false;
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(name) = name.dnsname() {
            has_own_kind |= address.is_none();
            names.push(name.to_string());
        } else if let Some(bytes) = name.ipaddress() {
            has_own_kind |= address.is_some();
            let shown = address_of(bytes);
            if shown.is_some() && shown == address {
                return Ok(());
            }
            names.push(shown.map_or_else(|| "an invalid address".to_string(), |shown| shown.to_string()));
        }
    }
    if !has_own_kind && let Some(name) = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next() {
        names.push(String::from_utf8_lossy(name.data().as_slice()).into_owned());
    }
    if names.iter().any(|name| name.contains('\0')) {
        return Err("the server's certificate has a name with a null byte".into());
    }
    if names.iter().any(|name| matches(name, host, address.is_some())) {
        return Ok(());
    }
    Err(match names.split_first() {
        None => "the server's certificate has no host name".into(),
        Some((name, [])) => {
            format!("server certificate for \"{name}\" does not match host name \"{host}\"")
        }
        Some((name, others)) => format!(
            "server certificate for \"{name}\" (and {} other name{}) does not match host name \"{host}\"",
            others.len(),
            if others.len() == 1 { "" } else { "s" }
        ),
    })
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// The same but for case, or `*.` for exactly one label. `*` never stands for a part of an address.
fn matches(name: &str, host: &str, is_address: bool) -> bool {
    if name.eq_ignore_ascii_case(host) {
        return true;
    }
    let Some(suffix) = name.strip_prefix("*.").filter(|suffix| !suffix.is_empty() && !is_address) else {
        return false;
    };
    host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(suffix))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_one_label() {
        for (name, host, expected) in [
            ("db.example.org", "DB.example.org", true),
            ("*.example.org", "db.example.org", true),
            ("*.example.org", "a.db.example.org", false),
            ("*.example.org", "example.org", false),
            ("*.example.org", ".example.org", false),
            ("d*.example.org", "db.example.org", false),
            ("*", "db", false),
            ("*.", "db.", false),
            ("*.org", "example.org", true),
        ] {
            assert_eq!(matches(name, host, false), expected, "{name} {host}");
        }
        assert!(!matches("*.0.0.1", "127.0.0.1", true));
        assert!(matches("127.0.0.1", "127.0.0.1", true));
    }
}
