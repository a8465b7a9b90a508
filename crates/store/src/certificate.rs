//! What is wrong with a server's certificate: from what the TLS library says to words for whoever
//! has to do something about it.

use std::error::Error;
use std::io;

use jiff::Timestamp;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::Cause;

/// Why the certificate of this host was not taken; none: that is not what went wrong.
pub(crate) fn refusal(error: &(dyn Error + 'static), host: &str) -> Option<(String, Cause)> {
    let rustls::Error::InvalidCertificate(why) = tls_error(error)? else { return None };
    // The library does not say which one of the chain it is.
    let of_chain = format!("the certificate of {host}, or one of an authority that it comes with,");
    Some(match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("{of_chain} expired on {}", shown(*not_after)), Cause::CertificateExpired)
        }
        CertificateError::Expired => (format!("{of_chain} has expired"), Cause::CertificateExpired),
        CertificateError::NotValidYetContext { not_before, .. } => {
            (format!("{of_chain} is not valid before {}", shown(*not_before)), Cause::CertificateNotYetValid)
        }
        CertificateError::NotValidYet => {
            (format!("{of_chain} is not valid yet"), Cause::CertificateNotYetValid)
        }
        CertificateError::NotValidForNameContext { presented, .. } => (
            match presented.is_empty() {
                true => format!("the certificate of {host} names no host"),
                false => format!("the certificate of {host} is for {}, not for {host}", presented.join(", ")),
            },
            Cause::CertificateName,
        ),
        CertificateError::NotValidForName => {
            (format!("the certificate of {host} is not for {host}"), Cause::CertificateName)
        }
        CertificateError::UnknownIssuer => (
            format!("the certificate of {host} was issued by an authority that is not trusted here"),
            Cause::Certificate,
        ),
        other => (format!("the certificate of {host} is not good: {other}"), Cause::Certificate),
    })
}

/// The TLS library's own error among the causes. An [`io::Error`] hides what it was made of from
/// [`Error::source`].
fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inside = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inside {
            Some(inside) => Some(inside as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn shown(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "a day that no calendar has".into(), |time| time.strftime("%F %T UTC").to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn judged(why: CertificateError) -> (String, Cause) {
        let inner = io::Error::other(rustls::Error::InvalidCertificate(why));
        refusal(&io::Error::other(inner), "s3.example.com").unwrap()
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expired =
            CertificateError::ExpiredContext { time: at(1_700_000_000), not_after: at(1_600_000_000) };
        let (text, cause) = judged(expired);
        assert!(text.ends_with("expired on 2020-09-13 12:26:40 UTC"), "{text}");
        assert_eq!(cause, Cause::CertificateExpired);
        let early = CertificateError::NotValidYetContext { time: at(1), not_before: at(1_600_000_000) };
        let (text, cause) = judged(early);
        assert!(text.ends_with("is not valid before 2020-09-13 12:26:40 UTC"), "{text}");
        assert_eq!(cause, Cause::CertificateNotYetValid);
        let (text, cause) = judged(CertificateError::UnknownIssuer);
        assert!(text.contains("s3.example.com was issued by an authority"), "{text}");
        assert_eq!(cause, Cause::Certificate);
        assert_eq!(judged(CertificateError::NotValidForName).1, Cause::CertificateName);
        assert!(refusal(&io::Error::other("reset"), "x").is_none());
    }
}
