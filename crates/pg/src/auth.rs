//! Authentication: whatever the server asks for, as far as `require_auth` and `channel_binding`
//! allow it.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};

use crate::conninfo::{ConnInfo, Host};
use crate::stream::Stream;
use crate::wire::Wire;
use crate::{DbError, PgError, tls};

const PASSWORD: u8 = b'p';

/// Answers the server until it is satisfied.
pub(crate) fn run(wire: &mut Wire<Stream>, info: &ConnInfo, host: &Host) -> Result<(), PgError> {
    let mut used = "none";
    let mut bound = false;
    loop {
        let message = wire.message()?;
        match (message.tag, message.body) {
            (b'E', body) => return Err(PgError::Db(Box::new(DbError::parse(body)))),
            (b'N' | b'v', _) => {}
            (b'R', body) => {
                let (kind, data) = split(body)?;
                let data = data.to_vec();
                match kind {
                    0 => return finished(info, used, bound),
                    3 => {
                        used = allowed(info, "password")?;
                        let password = password(info, host)?;
                        answer(wire, &[password.as_bytes(), b"\0"].concat())?;
                    }
                    5 => {
                        used = allowed(info, "md5")?;
                        let salt: [u8; 4] = data.as_slice().try_into().map_err(|_| garbled())?;
                        let hash = md5_hash(info.user().as_bytes(), password(info, host)?.as_bytes(), salt);
                        answer(wire, &[hash.as_bytes(), b"\0"].concat())?;
                    }
                    7..=9 => {
                        return Err(PgError::Auth(
                            "the server requires GSSAPI or SSPI, which pgark does not support".into(),
                        ));
                    }
                    10 => {
                        used = allowed(info, "scram-sha-256")?;
                        bound = scram(wire, info, host, &data)?;
                    }
                    other => {
                        return Err(PgError::Auth(format!(
                            "the server requires method {other}, which pgark does not support"
                        )));
                    }
                }
            }
            (tag, _) => {
                return Err(PgError::Protocol(format!(
                    "message {:?} during authentication",
                    char::from(tag)
                )));
            }
        }
    }
}

fn finished(info: &ConnInfo, used: &str, bound: bool) -> Result<(), PgError> {
    if info.get("channel_binding") == "require" && !bound {
        return Err(PgError::Auth(
            "channel binding required, but server authenticated client without channel binding".into(),
        ));
    }
    allowed(info, if used == "none" { "none" } else { "any of the above" }).map(|_| ())
}

/// Whether `require_auth` allows a method: a list of methods, or of methods with `!` that are not
/// allowed.
fn allowed(info: &ConnInfo, method: &'static str) -> Result<&'static str, PgError> {
    let list = info.get("require_auth");
    if list.is_empty() || method == "any of the above" {
        return Ok(method);
    }
    let mut entries = list.split(',');
    let is_allowed = if list.starts_with('!') {
        !entries.any(|entry| entry.strip_prefix('!') == Some(method))
    } else {
        entries.any(|entry| entry == method)
    };
    if is_allowed {
        return Ok(method);
    }
    let said = match method {
        "none" => "the server did not ask for any".to_string(),
        method => format!("the server asked for \"{method}\""),
    };
    Err(PgError::Auth(format!("auth method \"{list}\" requirement failed: {said}")))
}

fn password(info: &ConnInfo, host: &Host) -> Result<String, PgError> {
    info.password_for(host).ok_or_else(|| {
        PgError::Auth(
            "the server asks for a password, and none is given (PGPASSWORD, .pgpass, service file)".into(),
        )
    })
}

/// SCRAM-SHA-256, with channel binding where TLS and server allow it (RFC 5802, RFC 7677). Returns
/// whether it was bound.
fn scram(wire: &mut Wire<Stream>, info: &ConnInfo, host: &Host, mechanisms: &[u8]) -> Result<bool, PgError> {
    let offered: Vec<&[u8]> = mechanisms.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    let has = |name: &str| offered.contains(&name.as_bytes());
    let end_point = match wire.stream() {
        Stream::Tls(stream) if info.get("channel_binding") != "disable" => tls::server_end_point(stream),
        _ => None,
    };
    if has(SCRAM_SHA_256_PLUS) && !matches!(wire.stream(), Stream::Tls(_)) {
        // A real server offers it only under TLS: someone between us has taken the TLS off.
        return Err(PgError::Auth(
            "server offered SCRAM-SHA-256-PLUS authentication over a non-SSL connection".into(),
        ));
    }
    let (mechanism, binding, bound) = match end_point {
        Some(hash) if has(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash), true)
        }
        // The server does not offer it: saying that we could lets it notice a man in the middle.
        Some(_) if has(SCRAM_SHA_256) => (SCRAM_SHA_256, ChannelBinding::unrequested(), false),
        None if has(SCRAM_SHA_256) => (SCRAM_SHA_256, ChannelBinding::unsupported(), false),
        _ => return Err(PgError::Auth("the server offers no SASL method that pgark supports".into())),
    };
    if info.get("channel_binding") == "require" && !bound {
        return Err(PgError::Auth(
            "channel binding is required, but the server or the connection does not support it".into(),
        ));
    }
    let password = password(info, host)?;
    let mut exchange = ScramSha256::new(password.as_bytes(), binding);
    let first = exchange.message().to_vec();
    let length = i32::try_from(first.len()).map_err(|_| garbled())?.to_be_bytes();
    answer(wire, &[mechanism.as_bytes(), b"\0", &length, &first].concat())?;
    let challenge = sasl(wire, 11)?;
    exchange.update(&challenge).map_err(|error| PgError::Auth(error.to_string()))?;
    let second = exchange.message().to_vec();
    answer(wire, &second)?;
    let last = sasl(wire, 12)?;
    exchange.finish(&last).map_err(|_| {
        PgError::Auth("the server does not know the password: it could be an impostor".into())
    })?;
    Ok(bound)
}

fn sasl(wire: &mut Wire<Stream>, expected: u32) -> Result<Vec<u8>, PgError> {
    loop {
        let message = wire.message()?;
        match message.tag {
            b'E' => return Err(PgError::Db(Box::new(DbError::parse(message.body)))),
            b'N' => {}
            b'R' => {
                let (kind, data) = split(message.body)?;
                return if kind == expected { Ok(data.to_vec()) } else { Err(garbled()) };
            }
            _ => return Err(garbled()),
        }
    }
}

fn answer(wire: &mut Wire<Stream>, body: &[u8]) -> Result<(), PgError> {
    wire.put(Some(PASSWORD), body)?;
    wire.flush()
}

pub(crate) fn split(body: &[u8]) -> Result<(u32, &[u8]), PgError> {
    let kind =
        body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes).ok_or_else(garbled)?;
    Ok((kind, body.get(4..).unwrap_or_default()))
}

fn garbled() -> PgError {
    PgError::Protocol("an invalid authentication message".into())
}
