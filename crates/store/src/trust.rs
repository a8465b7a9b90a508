//! Whom an HTTPS server must be, where the user names certificates (`ca_file`).
//!
//! The system's authorities and the named ones are asked first. One kind of certificate never
//! passes there: a self-signed certificate with `CA:TRUE`, which is what `openssl req -x509` makes
//! and many object stores in a house run with. WebPKI refuses an authority's certificate as a
//! server's own (RFC 5280, section 4.2.1.9, as rustls-webpki reads it). OpenSSL, curl and libpq
//! take it, because the user named exactly this certificate. So do we: the bytes that the server
//! shows must be the bytes that the user named, in their time, and for the name that was asked for.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// Why a client cannot be made of what the user named.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file that is not PEM.
    #[error("{0}")]
    Pem(String),
    /// A file without any certificate.
    #[error("it contains no certificate")]
    Empty,
    /// The library refused them.
    #[error(transparent)]
    Tls(#[from] Error),
}

/// What a client that trusts `authorities` (files of PEM certificates) in addition to the system's
/// asks of a server.
///
/// # Errors
/// The certificates cannot be read, or there are none.
pub(crate) fn config(authorities: &[Vec<u8>]) -> Result<ClientConfig, ConfigError> {
    let mut named = Vec::new();
    for pem in authorities {
        let before = named.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            named.push(certificate.map_err(|error| ConfigError::Pem(error.to_string()))?);
        }
        if named.len() == before {
            return Err(ConfigError::Empty);
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Named { system: system(&named, &provider)?, named };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

fn system(named: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Result<Verifier, Error> {
    Verifier::new_with_extra_roots(named.iter().cloned(), Arc::clone(provider))
}

/// The system's judgement with the named authorities, and the exception above.
#[derive(Debug)]
struct Named {
    system: Verifier,
    named: Vec<CertificateDer<'static>>,
}

impl Named {
    /// Whether the one thing against this certificate is that it is an authority's, and it is one
    /// that was named. WebPKI looks at the time before it looks at this.
    fn is_named_authority(&self, certificate: &CertificateDer<'_>, error: &Error) -> bool {
        let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else {
            return false;
        };
        matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
            && self.named.iter().any(|named| named == certificate)
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged =
            self.system.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match judged {
            Err(error) if self.is_named_authority(end_entity, &error) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}
