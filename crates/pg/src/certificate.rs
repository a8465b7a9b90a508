//! What is wrong with a server's certificate: which one of the chain, whose it is, and who has to
//! do what about it.

use std::sync::{Arc, Mutex};

use openssl::ssl::{SslContextBuilder, SslVerifyMode};
use openssl::x509::{X509NameRef, X509Ref, X509VerifyResult};

use crate::PgError;

/// The certificate is good, and another host's.
pub(crate) const OF_OTHER_HOST: &str = "connect by a name that is in the certificate (with hostaddr for the address), or have one made for this \
     host; sslmode=verify-ca does not compare names";

/// X509_V_ERR_… of OpenSSL's x509_vfy.h.
mod code {
    pub(super) const NO_ISSUER: i32 = 2;
    pub(super) const NOT_YET_VALID: i32 = 9;
    pub(super) const EXPIRED: i32 = 10;
    pub(super) const LIST_EXPIRED: i32 = 12;
    pub(super) const SIGNED_ITSELF: i32 = 18;
    pub(super) const AUTHORITY_SIGNED_ITSELF: i32 = 19;
    pub(super) const NO_ISSUER_HERE: i32 = 20;
    pub(super) const ALONE: i32 = 21;
    pub(super) const REVOKED: i32 = 23;
}

/// Why a chain of certificates was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    why: String,
    advice: &'static str,
}

impl Refusal {
    /// `depth`: how far from the server's own certificate.
    pub(crate) fn of(result: X509VerifyResult, certificate: Option<&X509Ref>, depth: u32) -> Refusal {
        let code = result.as_raw();
        let is_authority = depth > 0;
        let whose = certificate.map(|certificate| {
            let (subject, issuer) = (shown(certificate.subject_name()), shown(certificate.issuer_name()));
            if is_authority {
                format!(" (authority {subject})")
            } else {
                format!(" ({subject}, issued by {issuer})")
            }
        });
        let why = match (code, certificate) {
            (code::EXPIRED, Some(own)) => format!("it expired on {}", plain(&own.not_after().to_string())),
            (code::NOT_YET_VALID, Some(own)) => {
                format!("it is not valid before {}", plain(&own.not_before().to_string()))
            }
            _ => result.error_string().to_string(),
        };
        Refusal { why: format!("{why}{}", whose.unwrap_or_default()), advice: advice(code, is_authority) }
    }

    pub(crate) fn into_error(self, host: &str) -> PgError {
        let why = format!("the server's certificate for \"{host}\": {}", self.why);
        PgError::Certificate { why, advice: self.advice }
    }
}

fn advice(code: i32, is_authority: bool) -> &'static str {
    match code {
        code::EXPIRED if is_authority => {
            "the authority's certificate must be renewed, in sslrootcert of this host or in ssl_cert_file of the server; or \
             this host's clock is wrong"
        }
        code::EXPIRED => {
            "whoever runs the server must renew it (ssl_cert_file); if it was renewed, the server must reload its \
             configuration, or this host's clock is wrong"
        }
        code::NOT_YET_VALID => {
            "compare the clocks of this host and of the server; if both are right, the certificate was made for a later time"
        }
        code::NO_ISSUER
        | code::SIGNED_ITSELF
        | code::AUTHORITY_SIGNED_ITSELF
        | code::NO_ISSUER_HERE
        | code::ALONE => {
            "sslrootcert must name a file with the certificate of the authority that issued the server's"
        }
        code::REVOKED => {
            "the server needs a new certificate: this one is on the list of revoked ones (sslcrl)"
        }
        code::LIST_EXPIRED => "fetch the authority's newest list of revoked certificates (sslcrl)",
        _ => "check sslmode and sslrootcert, and the server's ssl_cert_file",
    }
}

/// `CN=db1, O=Acme`.
fn shown(name: &X509NameRef) -> String {
    let of_entry = |entry: &openssl::x509::X509NameEntryRef| {
        let kind = entry.object().nid().short_name().unwrap_or("?");
        format!("{kind}={}", String::from_utf8_lossy(entry.data().as_slice()))
    };
    let parts: Vec<String> = name.entries().map(of_entry).collect();
    if parts.is_empty() { "without a name".into() } else { parts.join(", ") }
}

/// OpenSSL pads days with a space.
fn plain(time: &str) -> String {
    time.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first certificate of a handshake that was refused, and why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused(Arc<Mutex<Option<Refusal>>>);

impl Refused {
    /// Verifies as OpenSSL does, and keeps what it refuses: behind the handshake it knows the code
    /// alone, and not whose certificate it was.
    pub(crate) fn listen(&self, builder: &mut SslContextBuilder) {
        let kept = self.clone();
        builder.set_verify_callback(SslVerifyMode::PEER, move |is_good, chain| {
            if !is_good {
                let refusal = Refusal::of(chain.error(), chain.current_cert(), chain.error_depth());
                let mut kept = kept.0.lock().unwrap_or_else(|poison| poison.into_inner());
                kept.get_or_insert(refusal);
            }
            is_good
        });
    }

    pub(crate) fn take(&self) -> Option<Refusal> {
        self.0.lock().unwrap_or_else(|poison| poison.into_inner()).take()
    }
}
