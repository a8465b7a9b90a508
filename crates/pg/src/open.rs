//! From parameters to an open session: hosts, addresses, TLS or not, start-up, authentication, and whether the server is
//! one that was asked for (`target_session_attrs`).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::SystemTime;

use crate::cancel::{Canceller, request_tls};
use crate::connection::{Connection, Session};
use crate::conninfo::{ConnInfo, Host};
use crate::stream::{Address, Stream, timeout};
use crate::wire::Wire;
use crate::{DbError, PgError, auth};

const PROTOCOL_3_0: u32 = 196_608;

/// Tries every host and address in order until one is as asked.
pub(crate) fn connect(info: &ConnInfo) -> Result<Connection, PgError> {
    if info.get("gssencmode") == "require" {
        return Err(PgError::Auth("gssencmode=require: pgark does not speak GSSAPI".into()));
    }
    let mut hosts = info.hosts().map_err(|error| PgError::Protocol(error.to_string()))?;
    if info.get("load_balance_hosts") == "random" {
        shuffle(&mut hosts);
    }
    let wanted = info.get("target_session_attrs");
    let passes: &[&str] = if wanted == "prefer-standby" { &["standby", "any"] } else { &[wanted] };
    let mut failures = Failures::default();
    for wanted in passes {
        for host in &hosts {
            for address in addresses(host, &mut failures) {
                match open_wanted(info, host, &address, wanted) {
                    Ok(connection) => return Ok(connection),
                    // A wrong password or database is the same everywhere: libpq stops there too.
                    Err(error) if is_final(&error) => {
                        return Err(failures.with(host, error).into_error(info));
                    }
                    Err(error) => failures = failures.with(host, error),
                }
            }
        }
    }
    Err(failures.into_error(info))
}

#[derive(Default)]
struct Failures {
    lines: Vec<String>,
    refusal: Option<Box<DbError>>,
}

impl Failures {
    fn with(mut self, host: &Host, error: PgError) -> Failures {
        let place = if host.is_socket() {
            format!("socket {}/.s.PGSQL.{}", host.name, host.port)
        } else {
            let name =
                if host.name.is_empty() { host.address.as_deref().unwrap_or_default() } else { &host.name };
            format!("{name} port {}", host.port)
        };
        let why = match &error {
            PgError::Closed(Some(source)) => format!("{source}"),
            other => other.to_string(),
        };
        self.lines.push(format!("{place}: {why}"));
        if let PgError::Db(refusal) = error {
            self.refusal = Some(refusal);
        }
        self
    }

    fn into_error(self, info: &ConnInfo) -> PgError {
        PgError::Connect {
            target: format!("database \"{}\" as user \"{}\"", info.dbname(), info.user()),
            why: self.lines.join("; "),
            refusal: self.refusal,
        }
    }
}

/// Errors that another host would answer with as well.
fn is_final(error: &PgError) -> bool {
    match error {
        PgError::Db(refusal) => refusal.sqlstate.starts_with("28"),
        PgError::Auth(_) => true,
        _ => false,
    }
}

fn addresses(host: &Host, failures: &mut Failures) -> Vec<Address> {
    if host.is_socket() {
        return vec![Address::Unix(format!("{}/.s.PGSQL.{}", host.name, host.port))];
    }
    let name = host.address.as_deref().unwrap_or(&host.name);
    if let Ok(ip) = name.parse::<IpAddr>() {
        return vec![Address::Tcp(SocketAddr::new(ip, host.port))];
    }
    match (name, host.port).to_socket_addrs() {
        Ok(found) => found.map(Address::Tcp).collect(),
        Err(source) => {
            failures
                .lines
                .push(format!("{name} port {}: could not translate host name: {source}", host.port));
            Vec::new()
        }
    }
}

fn open_wanted(info: &ConnInfo, host: &Host, address: &Address, wanted: &str) -> Result<Connection, PgError> {
    let mut connection = open_one(info, host, address)?;
    let refuse = |what: &str| Err(PgError::Protocol(format!("the server is {what}; {wanted} was asked for")));
    if wanted == "any" {
        return Ok(connection);
    }
    let sql = "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
    let rows = connection.query(sql, &[])?;
    let row = rows.first().ok_or_else(|| PgError::Protocol("no answer about recovery".into()))?;
    let (standby, read_only) = (row.str(0)? == "t", row.str(1)? == "on");
    match wanted {
        "primary" if standby => refuse("a standby"),
        "standby" if !standby => refuse("a primary"),
        "read-write" if standby || read_only => refuse("read-only"),
        "read-only" if !standby && !read_only => refuse("writable"),
        _ => Ok(connection),
    }
}

/// One address, in the way `sslmode` says: with TLS, without, or first the one and then the other.
fn open_one(info: &ConnInfo, host: &Host, address: &Address) -> Result<Connection, PgError> {
    let attempts: &[bool] = match (info.get("sslmode"), address) {
        (_, Address::Unix(_)) | ("disable", _) => &[false],
        ("allow", _) => &[false, true],
        ("prefer", _) => &[true, false],
        _ => &[true],
    };
    let mut last = None;
    for (at, with_tls) in attempts.iter().enumerate() {
        match open_session(info, host, address, *with_tls) {
            Ok(connection) => return Ok(connection),
            // Only what the other way could cure is tried again: a refusal by pg_hba.conf, or TLS that fails.
            Err(error) if at + 1 < attempts.len() && is_worth_the_other_way(&error) => last = Some(error),
            Err(error) => return Err(last.filter(|_| matches!(error, PgError::Tls(_))).unwrap_or(error)),
        }
    }
    Err(last.unwrap_or(PgError::Closed(None)))
}

fn is_worth_the_other_way(error: &PgError) -> bool {
    match error {
        PgError::Db(refusal) => refusal.sqlstate == "28000",
        PgError::Tls(_) => true,
        _ => false,
    }
}

fn open_session(
    info: &ConnInfo,
    host: &Host,
    address: &Address,
    with_tls: bool,
) -> Result<Connection, PgError> {
    let closed = |error| PgError::Closed(Some(error));
    let mut stream = Stream::open(address, info).map_err(closed)?;
    stream.set_read_timeout(timeout(info)).map_err(closed)?;
    if with_tls {
        stream = match request_tls(stream, info, host)? {
            Some(stream) => stream,
            None if info.get("sslmode") == "prefer" => {
                return Err(PgError::Tls("server does not support SSL".into()));
            }
            None => return Err(PgError::Tls("server does not support SSL, but SSL was required".into())),
        };
    }
    let raw = stream.raw().map_err(closed)?;
    let uses_tls = matches!(stream, Stream::Tls(_));
    let mut wire = Wire::new(stream);
    wire.put(None, &startup(info))?;
    wire.flush()?;
    auth::run(&mut wire, info, host)?;
    let (parameters, pid, secret, notices) = until_ready(&mut wire)?;
    wire.stream().set_read_timeout(None).map_err(closed)?;
    let canceller = Canceller::new(raw, address.clone(), host.clone(), info.clone(), uses_tls, pid, secret);
    let numeric = match address {
        Address::Tcp(address) => Some(address.ip().to_string()),
        Address::Unix(_) => None,
    };
    Ok(Connection::new(Session { wire, parameters, pid, host: host.clone(), numeric, canceller, notices }))
}

fn startup(info: &ConnInfo) -> Vec<u8> {
    let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
    let name = match (info.get("application_name"), info.get("fallback_application_name")) {
        ("", "") => "pgark",
        ("", fallback) => fallback,
        (name, _) => name,
    };
    for (keyword, value) in [
        ("user", info.user()),
        ("database", info.dbname()),
        ("client_encoding", "UTF8"),
        ("application_name", name),
        ("options", info.get("options")),
    ] {
        if !value.is_empty() {
            body.extend_from_slice(keyword.as_bytes());
            body.push(0);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    body
}

type Ready = (BTreeMap<String, String>, i32, Vec<u8>, Vec<DbError>);

/// What the server tells of itself before the first query.
fn until_ready(wire: &mut Wire<Stream>) -> Result<Ready, PgError> {
    let (mut parameters, mut pid, mut secret, mut notices) = (BTreeMap::new(), 0, Vec::new(), Vec::new());
    loop {
        let message = wire.message()?;
        match message.tag {
            b'S' => {
                let mut fields = message.body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                if let (Some(name), Some(value)) = (fields.next(), fields.next()) {
                    parameters.insert(name.into_owned(), value.into_owned());
                }
            }
            b'K' => {
                let bytes = message.body.get(..4).and_then(|bytes| bytes.try_into().ok());
                pid = bytes.map(i32::from_be_bytes).ok_or_else(|| PgError::Protocol("a short key".into()))?;
                secret = message.body.get(4..).unwrap_or_default().to_vec();
            }
            b'N' => notices.push(DbError::parse(message.body)),
            b'E' => return Err(PgError::Db(Box::new(DbError::parse(message.body)))),
            b'Z' => return Ok((parameters, pid, secret, notices)),
            tag => return Err(PgError::Protocol(format!("message {:?} at start-up", char::from(tag)))),
        }
    }
}

/// Any order is as good as another; the clock's low digits choose one.
fn shuffle(hosts: &mut [Host]) {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
    let mut seed = u64::from(nanos) | 1;
    for at in (1..hosts.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(seed >> 33).unwrap_or(0) % (at + 1);
        hosts.swap(at, other);
    }
}
