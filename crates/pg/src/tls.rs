//! TLS with libpq's meaning of `sslmode` and its files (PostgreSQL documentation, section 32.19).

use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{Ssl, SslContext, SslFiletype, SslMethod, SslStream, SslVerifyMode, SslVersion};
use openssl::x509::store::{File as FileLookup, HashDir, X509Lookup};
use openssl::x509::verify::{X509CheckFlags, X509VerifyFlags};

use crate::PgError;
use crate::conninfo::{ConnInfo, Host};

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
    let (context, verify) = context(info)?;
    let mut ssl = Ssl::new(&context).map_err(|error| failed("make a session", &error))?;
    let name = if host.name.is_empty() { host.address.as_deref().unwrap_or_default() } else { &host.name };
    let ip: Option<IpAddr> = name.parse().ok();
    if info.get("sslsni") == "1" && ip.is_none() && !name.is_empty() {
        ssl.set_hostname(name).map_err(|error| failed("set the server's name", &error))?;
    }
    if verify == Verify::Host {
        if name.is_empty() {
            return Err(PgError::Tls("host name must be specified for a verified SSL connection".into()));
        }
        let parameters = ssl.param_mut();
        parameters.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
        match ip {
            Some(ip) => parameters.set_ip(ip),
            None => parameters.set_host(name),
        }
        .map_err(|error| failed("set the server's name", &error))?;
    }
    if info.get("sslnegotiation") == "direct" {
        ssl.set_alpn_protos(b"\x0apostgresql").map_err(|error| failed("name the protocol", &error))?;
    }
    ssl.connect(socket).map_err(|error| {
        let verified = match &error {
            openssl::ssl::HandshakeError::Failure(stream) => Some(stream.ssl().verify_result()),
            _ => None,
        };
        match verified.filter(|result| *result != openssl::x509::X509VerifyResult::OK) {
            Some(result) => {
                PgError::Tls(format!("the server's certificate for \"{name}\": {}", result.error_string()))
            }
            None => PgError::Tls(error.to_string()),
        }
    })
}

fn context(info: &ConnInfo) -> Result<(SslContext, Verify), PgError> {
    let mut builder =
        SslContext::builder(SslMethod::tls_client()).map_err(|error| failed("make a context", &error))?;
    for (keyword, default) in [("ssl_min_protocol_version", "TLSv1.2"), ("ssl_max_protocol_version", "")] {
        let text = match info.get(keyword) {
            "" => default,
            text => text,
        };
        let version = version(text)?;
        if keyword.contains("min") {
            builder.set_min_proto_version(version)
        } else {
            builder.set_max_proto_version(version)
        }
        .map_err(|error| failed("set the protocol version", &error))?;
    }
    let (roots, required) = match info.get("sslrootcert") {
        "" => (info.home_file("root.crt"), false),
        path => (Some(PathBuf::from(path)), true),
    };
    let roots = roots.filter(|path| required || path.exists());
    let verify = match (info.get("sslmode"), &roots) {
        ("verify-full", _) => Verify::Host,
        ("verify-ca", _) => Verify::Authority,
        // libpq: a root certificate makes `require` verify the chain.
        ("require", Some(_)) => Verify::Authority,
        _ => Verify::Nothing,
    };
    if verify == Verify::Nothing {
        builder.set_verify(SslVerifyMode::NONE);
    } else {
        builder.set_verify(SslVerifyMode::PEER);
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
    Ok((builder.build(), verify))
}

fn revocation_lists(builder: &mut openssl::ssl::SslContextBuilder, info: &ConnInfo) -> Result<(), PgError> {
    let file = match info.get("sslcrl") {
        "" => info.home_file("root.crl").filter(|path| path.exists()),
        path => Some(PathBuf::from(path)),
    };
    let folder = Some(info.get("sslcrldir")).filter(|folder| !folder.is_empty());
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
    let parsed = PKey::private_key_from_pem_passphrase(&text, info.get("sslpassword").as_bytes())
        .map_err(|error| failed(&format!("open the private key file \"{shown}\""), &error))?;
    builder
        .set_private_key(&parsed)
        .and_then(|()| builder.check_private_key())
        .map_err(|error| failed(&format!("use the private key file \"{shown}\""), &error))
}

/// As libpq: a key of the user's own is for nobody else; one of root's may be for a group.
fn refuse_open_key(key: &Path) -> Result<(), PgError> {
    let shown = key.display();
    let facts = std::fs::metadata(key)
        .map_err(|error| PgError::Tls(format!("read the private key file \"{shown}\": {error}")))?;
    let too_much = if facts.uid() == 0 { 0o037 } else { 0o077 };
    if facts.mode() & too_much == 0 {
        return Ok(());
    }
    Err(PgError::Tls(format!(
        "private key file \"{shown}\" has group or world access; file must have permissions u=rw (0600) or less if owned \
         by the current user, or permissions u=rw,g=r (0640) or less if owned by root"
    )))
}

fn version(text: &str) -> Result<Option<SslVersion>, PgError> {
    Ok(Some(match text {
        "" => return Ok(None),
        "TLSv1" => SslVersion::TLS1,
        "TLSv1.1" => SslVersion::TLS1_1,
        "TLSv1.2" => SslVersion::TLS1_2,
        "TLSv1.3" => SslVersion::TLS1_3,
        other => return Err(PgError::Tls(format!("invalid protocol version \"{other}\""))),
    }))
}

/// RFC 5929, tls-server-end-point: the certificate's digest by its signature's hash, SHA-256 in place of MD5 and SHA-1.
pub(crate) fn server_end_point(stream: &SslStream<TcpStream>) -> Option<Vec<u8>> {
    let certificate = stream.ssl().peer_certificate()?;
    let algorithms = certificate.signature_algorithm().object().nid().signature_algorithms()?;
    let digest = match algorithms.digest {
        Nid::MD5 | Nid::SHA1 => MessageDigest::sha256(),
        other => MessageDigest::from_nid(other)?,
    };
    certificate.digest(digest).ok().map(|bytes| bytes.to_vec())
}

fn failed(doing: &str, error: &openssl::error::ErrorStack) -> PgError {
    let why = error
        .errors()
        .first()
        .and_then(|error| error.reason())
        .map_or_else(|| error.to_string(), str::to_string);
    PgError::Tls(format!("{doing}: {why}"))
}
