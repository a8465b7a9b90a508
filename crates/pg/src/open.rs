//! From parameters to an open session: hosts, addresses, TLS or not, start-up, authentication, and
//! whether the server is one that was asked for (`target_session_attrs`).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::SystemTime;

use crate::cancel::{Canceller, request_tls};
use crate::connection::{Connection, Session};
use crate::conninfo::{ConnInfo, Host};
use crate::stream::{Address, CONNECT, Stream, timeout};
use crate::wire::{Wire, is_timeout};
use crate::{DbError, PgError, Replication, Row, auth, peer};

const PROTOCOL_3_0: u32 = 196_608;

/// Why one attempt failed, and what libpq tries next (fe-connect.c, PQconnectPoll).
struct Failure {
    error: PgError,
    next: Next,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Nobody answered: another address of the host may.
    Address,
    /// The server answers and is not one that was asked for: another host may be.
    Host,
    /// What `sslmode` prefers failed: the same address with TLS where it was without, or without.
    OtherWay,
    /// Another host would say the same, or must not be asked: a wrong password, a certificate that
    /// does not verify.
    Nothing,
}

impl Failure {
    /// Of a conversation that has begun.
    fn of(error: PgError, otherwise: Next) -> Failure {
        let next = match &error {
            PgError::Closed(Some(source)) if is_timeout(source) => Next::Address,
            // Starting up or shutting down.
            PgError::Db(refusal) if refusal.sqlstate == "57P03" => Next::Host,
            _ => otherwise,
        };
        Failure { error, next }
    }
}

impl Connection {
    /// Connects to the first host that is as asked, and becomes the role of
    /// [`ConnInfo::with_role`].
    pub fn connect(info: &ConnInfo) -> Result<Connection, PgError> {
        let mut connection = connect(info)?;
        connection.become_role(info)?;
        Ok(connection)
    }
}

/// Tries every host and address in order until one is as asked.
pub(crate) fn connect(info: &ConnInfo) -> Result<Connection, PgError> {
    if info.get("gssencmode") == "require" {
        return Err(PgError::Auth("gssencmode=require: pgark does not support GSSAPI".into()));
    }
    let mut hosts = info.hosts().map_err(|error| PgError::Protocol(error.to_string()))?;
    if info.get("load_balance_hosts") == "random" {
        shuffle(&mut hosts);
    }
    let wanted = info.get("target_session_attrs");
    let passes: &[&str] = if wanted == "prefer-standby" { &["standby", "any"] } else { &[wanted] };
    let mut report = Report::default();
    for wanted in passes {
        for host in &hosts {
            for address in addresses(host, &mut report) {
                match open_wanted(info, host, &address, wanted, &mut report) {
                    Ok(connection) => return Ok(connection),
                    Err(Next::Address) => {}
                    Err(Next::Host) => break,
                    Err(Next::OtherWay | Next::Nothing) => return Err(report.into_error(info)),
                }
            }
        }
    }
    Err(report.into_error(info))
}

/// What every attempt ended with.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    refusal: Option<Box<DbError>>,
    advice: Option<&'static str>,
}

impl Report {
    fn add(&mut self, info: &ConnInfo, host: &Host, address: &Address, failure: Failure) -> Next {
        let place = match address {
            Address::Unix(path) => format!("socket {path}"),
            Address::Tcp(address) => {
                let ip = address.ip().to_string();
                let name = if host.name.is_empty() { &ip } else { &host.name };
                let shown = if *name == ip { String::new() } else { format!(" ({ip})") };
                format!("{name}{shown} port {}", host.port)
            }
        };
        let why = match &failure.error {
            PgError::Closed(Some(source)) if is_timeout(source) => match info.get("connect_timeout") {
                "" => format!("no answer in {} s (connect_timeout sets how long to wait)", CONNECT.as_secs()),
                seconds => format!("timeout expired (connect_timeout={seconds})"),
            },
            PgError::Closed(Some(source)) => source.to_string(),
            other => other.to_string(),
        };
        let line = format!("{place}: {why}");
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
        self.advice = match &failure.error {
            PgError::Auth(_) => {
                Some("check user and password, requirepeer, require_auth, and pg_hba.conf of the server")
            }
            PgError::Protocol(_) => Some("check host, port and target_session_attrs"),
            PgError::Certificate { advice, .. } => Some(advice),
            _ => self.advice,
        };
        if let PgError::Db(refusal) = failure.error {
            // With TLS the password was wrong, and without it pg_hba.conf has no line: the first is
            // what counts.
            let says_more = |held: &DbError| held.sqlstate != "28000" && refusal.sqlstate == "28000";
            if !self.refusal.as_deref().is_some_and(says_more) {
                self.refusal = Some(refusal);
            }
        }
        failure.next
    }

    fn into_error(self, info: &ConnInfo) -> PgError {
        PgError::Connect {
            target: format!("database \"{}\" as user \"{}\"", info.dbname(), info.user()),
            why: self.lines.join("; "),
            refusal: self.refusal,
            advice: self.advice.unwrap_or("check host, port and sslmode, and that the server is running"),
        }
    }
}

fn addresses(host: &Host, report: &mut Report) -> Vec<Address> {
    if host.is_socket() {
        return vec![Address::Unix(format!("{}/.s.PGSQL.{}", host.name, host.port))];
    }
    let name = host.address.as_deref().unwrap_or(&host.name);
    if let Ok(ip) = name.parse::<IpAddr>() {
        return vec![Address::Tcp(SocketAddr::new(ip, host.port))];
    }
    let is_scoped = name.split_once('%').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok());
    if host.address.is_some() && !is_scoped {
        report.lines.push(format!("could not parse network address \"{name}\" (a name belongs in host)"));
        return Vec::new();
    }
    match (name, host.port).to_socket_addrs() {
        Ok(found) => found.map(Address::Tcp).collect(),
        Err(source) => {
            report.lines.push(format!("{name} port {}: could not translate host name: {source}", host.port));
            Vec::new()
        }
    }
}

fn open_wanted(
    info: &ConnInfo,
    host: &Host,
    address: &Address,
    wanted: &str,
    report: &mut Report,
) -> Result<Connection, Next> {
    let mut connection = open_one(info, host, address, report)?;
    let checked = session_is_wanted(&mut connection, wanted)
        .map_err(|error| Failure::of(error, Next::Host))
        .and_then(|()| {
            certificate_was_seen(&mut connection, info).map_err(|error| Failure::of(error, Next::Nothing))
        })
        .and_then(|()| {
            connection
                .wire
                .stream()
                .set_read_timeout(None)
                .map_err(|error| Failure { error: PgError::Closed(Some(error)), next: Next::Nothing })
        });
    match checked {
        Ok(()) => Ok(connection),
        Err(failure) => Err(report.add(info, host, address, failure)),
    }
}

fn session_is_wanted(connection: &mut Connection, wanted: &str) -> Result<(), PgError> {
    if wanted == "any" {
        return Ok(());
    }
    let refuse = |what: &str| Err(PgError::Protocol(format!("the server is {what}; {wanted} was asked for")));
    let (standby, read_only) = if connection.replication() == Some(Replication::Physical) {
        // No SQL there. Recovery is read-only, so that what only asks for that needs no more.
        let standby = match (connection.parameter("in_hot_standby"), wanted) {
            (Some(value), _) => value == "on",
            (None, "read-write" | "read-only") => false,
            (None, _) => {
                return Err(PgError::Protocol(format!(
                    "target_session_attrs={wanted}: a server before version 14 does not tell a replication \
                     connection whether it is a standby"
                )));
            }
        };
        (standby, connection.show("transaction_read_only")? == "on")
    } else {
        let sql =
            "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
        let row = first_row(connection, sql)?;
        (row.str(0)? == "t", row.str(1)? == "on")
    };
    match wanted {
        "primary" if standby => refuse("a standby"),
        "standby" if !standby => refuse("a primary"),
        "read-write" if standby || read_only => refuse("read-only"),
        "read-only" if !standby && !read_only => refuse("writable"),
        _ => Ok(()),
    }
}

/// By the simple protocol, which is the only one of replication connections.
fn first_row(connection: &mut Connection, sql: &str) -> Result<Row, PgError> {
    let rows = connection.simple(sql)?.into_iter().flat_map(|result| result.rows);
    rows.into_iter().next().ok_or_else(|| PgError::Protocol("no answer about the session".into()))
}

/// `sslcertmode=require`: libpq has its TLS library tell whether the server asked for the
/// certificate. Ours cannot, so the server is asked whether it has it, which says no less.
fn certificate_was_seen(connection: &mut Connection, info: &ConnInfo) -> Result<(), PgError> {
    if info.get("sslcertmode") != "require" {
        return Ok(());
    }
    if connection.replication() == Some(Replication::Physical) {
        return Err(PgError::Auth(
            "sslcertmode=require: a physical replication connection cannot ask the server whether it has this \
             client's certificate"
                .into(),
        ));
    }
    let sql =
        "SELECT client_dn IS NOT NULL FROM pg_catalog.pg_stat_ssl WHERE pid = pg_catalog.pg_backend_pid()";
    match first_row(connection, sql)?.str(0)? {
        "t" => Ok(()),
        _ => Err(PgError::Auth(
            "sslcertmode=require: the server accepted the connection without this client's certificate \
             (sslcert, and ssl_ca_file of the server)"
                .into(),
        )),
    }
}

/// One address, in the way `sslmode` says: with TLS, without, or first the one and then the other.
fn open_one(
    info: &ConnInfo,
    host: &Host,
    address: &Address,
    report: &mut Report,
) -> Result<Connection, Next> {
    let attempts: &[bool] = match (info.get("sslmode"), address) {
        (_, Address::Unix(_)) | ("disable", _) => &[false],
        ("allow", _) => &[false, true],
        ("prefer", _) => &[true, false],
        _ => &[true],
    };
    for with_tls in attempts {
        match open_session(info, host, address, *with_tls) {
            Ok(connection) => return Ok(connection),
            Err(failure) => match report.add(info, host, address, failure) {
                Next::OtherWay => {}
                next => return Err(next),
            },
        }
    }
    Err(Next::Nothing)
}

fn open_session(
    info: &ConnInfo,
    host: &Host,
    address: &Address,
    with_tls: bool,
) -> Result<Connection, Failure> {
    let unreached = |error| Failure { error: PgError::Closed(Some(error)), next: Next::Address };
    let closed = |error| Failure::of(PgError::Closed(Some(error)), Next::Nothing);
    let mut stream = Stream::open(address, info).map_err(unreached)?;
    stream.set_read_timeout(timeout(info)).map_err(closed)?;
    peer::check(&stream, info).map_err(|error| Failure::of(error, Next::Nothing))?;
    if with_tls {
        let secured = request_tls(stream, info, host).map_err(|error| {
            let is_tls = matches!(error, PgError::Tls(_) | PgError::Certificate { .. });
            let next = if is_tls { Next::OtherWay } else { Next::Nothing };
            Failure::of(error, next)
        })?;
        stream = match (secured, info.get("sslmode")) {
            (Ok(secured), _) => secured,
            // Then it is as good as not having asked.
            (Err(plain), "allow" | "prefer") => plain,
            (Err(_), _) => {
                let what = "server does not support SSL, but SSL was required";
                return Err(Failure { error: PgError::Tls(what.into()), next: Next::Nothing });
            }
        };
    }
    let raw = stream.raw().map_err(closed)?;
    let uses_tls = matches!(stream, Stream::Tls(_));
    let mut wire = Wire::new(stream);
    wire.put(None, &startup(info))
        .and_then(|()| wire.flush())
        .map_err(|error| Failure::of(error, Next::Nothing))?;
    auth::run(&mut wire, info, host).map_err(|error| {
        let next = if matches!(error, PgError::Db(_)) { Next::OtherWay } else { Next::Nothing };
        Failure::of(error, next)
    })?;
    let (parameters, pid, secret, notices) =
        until_ready(&mut wire).map_err(|error| Failure::of(error, Next::Nothing))?;
    let canceller = Canceller::new(raw, address.clone(), host.clone(), info.clone(), uses_tls, pid, secret);
    let numeric = match address {
        Address::Tcp(address) => Some(address.ip().to_string()),
        Address::Unix(_) => None,
    };
    let (host, replication) = (host.clone(), info.replication());
    Ok(Connection::new(Session { wire, parameters, pid, host, numeric, canceller, notices, replication }))
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
        ("replication", info.replication().map_or("", Replication::parameter)),
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
