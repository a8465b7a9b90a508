//! TLS with libpq's meaning of `sslmode` and its files (PostgreSQL documentation, section 32.19).

use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    HandshakeError, Ssl, SslContext, SslFiletype, SslMethod, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509VerifyResult;
use openssl::x509::store::{File as FileLookup, HashDir, X509Lookup};
use openssl::x509::verify::X509VerifyFlags;

use crate::certificate::{self, Refusal, Refused};
use crate::conninfo::{ConnInfo, Host};
use crate::{PgError, check, names};

/// In the order of [`check::protocol_version`].
const VERSIONS: [SslVersion; 4] =
    [SslVersion::TLS1, SslVersion::TLS1_1, SslVersion::TLS1_2, SslVersion::TLS1_3];

/// What the server's certificate is held against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verify {
    Nothing,
    Authority,
    Host,
}

/// Turns a TCP stream into a TLS one.
pub(crate) fn start(
    socket: TcpStream,
    info: &ConnInfo,
    host: &Host,
) -> Result<SslStream<TcpStream>, PgError> {
    let (context, verify, refused) = context(info)?;
    let mut ssl = Ssl::new(&context).map_err(|error| failed("make a session", &error))?;
    let name = &host.name;
    if info.get("sslsni") == "1" && !name.is_empty() && name.parse::<IpAddr>().is_err() {
        ssl.set_hostname(name).map_err(|error| failed("set the server's name", &error))?;
    }
    // As libpq: an address alone (hostaddr) is no name to hold a certificate against.
    if verify == Verify::Host && name.is_empty() {
        return Err(PgError::Tls(
            "host name must be specified for a verified SSL connection (give host)".into(),
        ));
    }
    if info.get("sslnegotiation") == "direct" {
        ssl.set_alpn_protos(b"\x0apostgresql").map_err(|error| failed("name the protocol", &error))?;
    }
    let stream = ssl.connect(socket).map_err(|error| {
        let (verified, broken) = match error {
            HandshakeError::Failure(middle) | HandshakeError::WouldBlock(middle) => {
                (middle.ssl().verify_result(), middle.into_error())
            }
            HandshakeError::SetupFailure(error) => return failed("begin", &error),
        };
        if verify != Verify::Nothing && verified != X509VerifyResult::OK {
            return refused.take().unwrap_or_else(|| Refusal::of(verified, None, 0)).into_error(name);
        }
        match broken.into_io_error() {
            Ok(error) => PgError::Closed(Some(error)),
            Err(error) => match error.ssl_error() {
                Some(stack) => failed("agree with the server", stack),
                None => PgError::Tls("the server ended the handshake".into()),
            },
        }
    })?;
    if verify == Verify::Host {
        let certificate = stream.ssl().peer_certificate();
        let certificate = certificate.ok_or_else(|| PgError::Tls("the server has no certificate".into()))?;
        names::check(&certificate, name)
            .map_err(|why| PgError::Certificate { why, advice: certificate::OF_OTHER_HOST })?;
    }
    Ok(stream)
}

fn context(info: &ConnInfo) -> Result<(SslContext, Verify, Refused), PgError> {
    let mut builder =
        SslContext::builder(SslMethod::tls_client()).map_err(|error| failed("make a context", &error))?;
    let version = |keyword, default| {
        let place =
            check::protocol_version(info, keyword).map_err(|error| PgError::Tls(error.to_string()))?;
        Ok::<_, PgError>(place.map_or(default, |place| VERSIONS.get(place).copied()))
    };
    let least = version("ssl_min_protocol_version", Some(SslVersion::TLS1_2))?;
    let most = version("ssl_max_protocol_version", None)?;
    builder
        .set_min_proto_version(least)
        .and_then(|()| builder.set_max_proto_version(most))
        .map_err(|error| failed("set the protocol version", &error))?;
    let mode = info.get("sslmode");
    let roots = match info.get("sslrootcert") {
        "" => info.home_file("root.crt").filter(|path| path.exists()),
        "system" => Some(PathBuf::from("system")),
        // libpq lets `require` go on without a file that was named: then nothing is verified that
        // someone wanted verified.
        path => Some(PathBuf::from(path)).filter(|path| path.exists() || !matches!(mode, "allow" | "prefer")),
    };
    let verify = match (mode, &roots) {
        ("verify-full", _) => Verify::Host,
        ("verify-ca", _) => Verify::Authority,
        // libpq: a root certificate makes all other modes verify the chain.
        (_, Some(_)) => Verify::Authority,
        _ => Verify::Nothing,
    };
    let refused = Refused::default();
    if verify == Verify::Nothing {
        builder.set_verify(SslVerifyMode::NONE);
    } else {
        refused.listen(&mut builder);
        match &roots {
            Some(path) if path.as_os_str() == "system" => {
                builder
                    .set_default_verify_paths()
                    .map_err(|error| failed("load the system's root certificates", &error))?;
            }
            Some(path) => builder.set_ca_file(path).map_err(|error| {
                failed(&format!("read the root certificate file \"{}\"", path.display()), &error)
            })?,
            None => {
                return Err(PgError::Tls(format!(
                    "sslmode {} needs a root certificate: give sslrootcert, or ~/.postgresql/root.crt",
                    info.get("sslmode")
                )));
            }
        }
        revocation_lists(&mut builder, info)?;
    }
    if info.get("sslcertmode") != "disable" {
        client_certificate(&mut builder, info)?;
    }
    Ok((builder.build(), verify, refused))
}

fn revocation_lists(builder: &mut openssl::ssl::SslContextBuilder, info: &ConnInfo) -> Result<(), PgError> {
    let folder = Some(info.get("sslcrldir")).filter(|folder| !folder.is_empty());
    let file = match info.get("sslcrl") {
        // The user's own list counts only where none is named.
        "" => info.home_file("root.crl").filter(|path| folder.is_none() && path.exists()),
        path => Some(PathBuf::from(path)),
    };
    if file.is_none() && folder.is_none() {
        return Ok(());
    }
    let store = builder.cert_store_mut();
    if let Some(path) = &file {
        let text = path.to_str().ok_or_else(|| PgError::Tls("the path of sslcrl is not UTF-8".into()))?;
        let lookup = store
            .add_lookup(X509Lookup::<FileLookup>::file())
            .map_err(|error| failed("look up lists", &error))?;
        lookup
            .load_crl_file(text, SslFiletype::PEM)
            .map_err(|error| failed(&format!("read the revocation list \"{text}\""), &error))?;
    }
    if let Some(folder) = folder {
        let lookup = store
            .add_lookup(X509Lookup::<HashDir>::hash_dir())
            .map_err(|error| failed("look up lists", &error))?;
        lookup
            .add_dir(folder, SslFiletype::PEM)
            .map_err(|error| failed(&format!("use the folder of revocation lists \"{folder}\""), &error))?;
    }
    let flags = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
    builder.verify_param_mut().set_flags(flags).map_err(|error| failed("check revocation lists", &error))
}

fn client_certificate(builder: &mut openssl::ssl::SslContextBuilder, info: &ConnInfo) -> Result<(), PgError> {
    let file = |keyword, name| match info.get(keyword) {
        "" => info.home_file(name).filter(|path| path.exists()),
        path => Some(PathBuf::from(path)),
    };
    let Some(certificate) = file("sslcert", "postgresql.crt") else { return Ok(()) };
    builder.set_certificate_chain_file(&certificate).map_err(|error| {
        failed(&format!("read the certificate file \"{}\"", certificate.display()), &error)
    })?;
    let Some(key) = file("sslkey", "postgresql.key") else {
        return Err(PgError::Tls(format!(
            "certificate \"{}\" present, but not a private key file",
            certificate.display()
        )));
    };
    let shown = key.display();
    refuse_open_key(&key)?;
    let text = std::fs::read(&key)
        .map_err(|error| PgError::Tls(format!("read the private key file \"{shown}\": {error}")))?;
    let parsed = private_key(&text, info.get("sslpassword").as_bytes())
        .map_err(|why| PgError::Tls(format!("open the private key file \"{shown}\": {why}")))?;
    builder
        .set_private_key(&parsed)
        .and_then(|()| builder.check_private_key())
        .map_err(|error| failed(&format!("use the private key file \"{shown}\""), &error))
}

/// PEM, or as libpq tries after it: DER, which then must not be behind a password.
fn private_key(text: &[u8], password: &[u8]) -> Result<PKey<Private>, String> {
    let error = match PKey::private_key_from_pem_passphrase(text, password) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    if let Ok(key) = PKey::private_key_from_der(text) {
        return Ok(key);
    }
    let is_sealed = memchr::memmem::find(text, b"ENCRYPTED").is_some();
    Err(match (is_sealed, password.is_empty()) {
        (true, true) => "it is encrypted: give sslpassword".to_string(),
        (true, false) => format!("sslpassword does not open it ({})", reason(&error)),
        (false, _) => reason(&error),
    })
}

/// As libpq: a key of the user's own is for nobody else; one of root's may be for a group.
fn refuse_open_key(key: &Path) -> Result<(), PgError> {
    let shown = key.display();
    let facts = std::fs::metadata(key)
        .map_err(|error| PgError::Tls(format!("read the private key file \"{shown}\": {error}")))?;
    if !facts.is_file() {
        return Err(PgError::Tls(format!("private key file \"{shown}\" is not a regular file")));
    }
    let too_much = if facts.uid() == 0 { 0o037 } else { 0o077 };
    if facts.mode() & too_much == 0 {
        return Ok(());
    }
    Err(PgError::Tls(format!(
        "private key file \"{shown}\" has group or world access; file must have permissions u=rw (0600) or less if owned \
         by the current user, or permissions u=rw,g=r (0640) or less if owned by root"
    )))
}

/// RFC 5929, tls-server-end-point: the certificate's digest by its signature's hash, SHA-256 in
/// place of MD5 and SHA-1.
pub(crate) fn server_end_point(stream: &SslStream<TcpStream>) -> Option<Vec<u8>> {
    let certificate = stream.ssl().peer_certificate()?;
    let algorithm = certificate.signature_algorithm().object().nid();
    let digest = match algorithm {
        // Its hash is a parameter.
        Nid::RSASSAPSS => pss_hash(&certificate.to_der().ok()?)?,
        other => other.signature_algorithms()?.digest,
    };
    let digest = match digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        other => MessageDigest::from_nid(other)?,
    };
    certificate.digest(digest).ok().map(|bytes| bytes.to_vec())
}

/// The hash of a certificate that is signed by RSASSA-PSS (RFC 5280, Certificate; RFC 4055,
/// RSASSA-PSS-params: `[0] hashAlgorithm`, SHA-1 where it is left out).
fn pss_hash(certificate: &[u8]) -> Option<Nid> {
    const SEQUENCE: u8 = 0x30;
    const OID: u8 = 0x06;
    const HASH_ALGORITHM: u8 = 0xa0;
    /// 2.16.840.1.101.3.4.2, the hashes of the SHA-2 family.
    const SHA_2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
    let (certificate, _) = der(certificate, SEQUENCE)?;
    let (_, behind_the_content) = der(certificate, SEQUENCE)?;
    let (algorithm, _) = der(behind_the_content, SEQUENCE)?;
    let (_, parameters) = der(algorithm, OID)?;
    let (parameters, _) = der(parameters, SEQUENCE)?;
    let Some((hash, _)) = der(parameters, HASH_ALGORITHM) else { return Some(Nid::SHA1) };
    let (hash, _) = der(hash, SEQUENCE)?;
    let (oid, _) = der(hash, OID)?;
    match oid.strip_prefix(SHA_2) {
        Some([1]) => Some(Nid::SHA256),
        Some([2]) => Some(Nid::SHA384),
        Some([3]) => Some(Nid::SHA512),
        Some([4]) => Some(Nid::SHA224),
        _ => None,
    }
}

/// The content of a DER value of this tag, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(*short), rest),
        // At most four bytes of length.
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    (*first == tag).then_some(())?;
    rest.split_at_checked(length)
}

fn failed(doing: &str, error: &ErrorStack) -> PgError {
    PgError::Tls(format!("{doing}: {}", reason(error)))
}

fn reason(error: &ErrorStack) -> String {
    let first = error.errors().first().and_then(|error| error.reason());
    first.map_or_else(|| error.to_string(), str::to_string)
}

#[cfg(test)]
mod tests {
    use openssl::asn1::Asn1Time;
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::x509::X509;

    use super::{der, pss_hash};

    #[test]
    fn the_hash_of_an_rsa_pss_signature_is_found() {
        let folder = std::env::temp_dir().join(format!("pgark-pss-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        for (hash, nid) in
            [("sha1", Nid::SHA1), ("sha256", Nid::SHA256), ("sha384", Nid::SHA384), ("sha512", Nid::SHA512)]
        {
            let made = std::process::Command::new("openssl")
                .args([
                    "req", "-new", "-x509", "-days", "2", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=x",
                ])
                .args(["-sigopt", "rsa_padding_mode:pss", &format!("-{hash}")])
                .args(["-keyout", &path("key"), "-out", &path("crt")])
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            let certificate = X509::from_pem(&std::fs::read(folder.join("crt")).unwrap()).unwrap();
            assert_eq!(certificate.signature_algorithm().object().nid(), Nid::RSASSAPSS);
            assert_eq!(pss_hash(&certificate.to_der().unwrap()), Some(nid), "{hash}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_no_certificate_has_no_hash() {
        let key = PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.sign(&key, openssl::hash::MessageDigest::sha256()).unwrap();
        let bytes = builder.build().to_der().unwrap();
        assert_eq!(pss_hash(&bytes), None, "not signed so");
        for end in 0..bytes.len() {
            assert_eq!(pss_hash(&bytes[..end]), None);
        }
        assert_eq!(der(&[0x30, 0x85, 1, 1, 1, 1, 1], 0x30), None);
        assert_eq!(der(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], 0x30), None);
    }
}
