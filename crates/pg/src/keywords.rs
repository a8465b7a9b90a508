//! The connection parameters that libpq knows (PostgreSQL 18 documentation, section 32.1.2), with
//! their variables.

/// What we do with a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// As libpq does.
    Yes,
    /// It speaks of something that is never used here (GSSAPI), or has no effect in libpq either.
    Moot,
    /// Setting it is refused: ignoring it would change its meaning silently.
    No(&'static str),
}

/// Name, environment variable, support. A variable of a parameter without support is refused like
/// the parameter.
pub(crate) const KEYWORDS: &[(&str, &str, Support)] = &[
    ("service", "PGSERVICE", Support::Yes),
    ("servicefile", "PGSERVICEFILE", Support::Yes),
    ("user", "PGUSER", Support::Yes),
    ("password", "PGPASSWORD", Support::Yes),
    ("passfile", "PGPASSFILE", Support::Yes),
    ("channel_binding", "PGCHANNELBINDING", Support::Yes),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Support::Yes),
    ("dbname", "PGDATABASE", Support::Yes),
    ("host", "PGHOST", Support::Yes),
    ("hostaddr", "PGHOSTADDR", Support::Yes),
    ("port", "PGPORT", Support::Yes),
    // Neither PGCLIENTENCODING nor PGOPTIONS of the caller may change what is backed up.
    (
        "client_encoding",
        "",
        Support::No("pgark reads text in UTF-8 and rows in the database's own encoding; remove this option"),
    ),
    ("options", "", Support::Yes),
    ("application_name", "PGAPPNAME", Support::Yes),
    ("fallback_application_name", "", Support::Yes),
    ("keepalives", "", Support::Yes),
    ("keepalives_idle", "", Support::Yes),
    ("keepalives_interval", "", Support::Yes),
    ("keepalives_count", "", Support::Yes),
    ("tcp_user_timeout", "", Support::Yes),
    ("sslmode", "PGSSLMODE", Support::Yes),
    ("sslnegotiation", "PGSSLNEGOTIATION", Support::Yes),
    ("sslcompression", "PGSSLCOMPRESSION", Support::Moot),
    ("sslcert", "PGSSLCERT", Support::Yes),
    ("sslkey", "PGSSLKEY", Support::Yes),
    ("sslcertmode", "PGSSLCERTMODE", Support::Yes),
    ("sslpassword", "", Support::Yes),
    ("sslrootcert", "PGSSLROOTCERT", Support::Yes),
    ("sslcrl", "PGSSLCRL", Support::Yes),
    ("sslcrldir", "PGSSLCRLDIR", Support::Yes),
    ("sslsni", "PGSSLSNI", Support::Yes),
    ("requirepeer", "PGREQUIREPEER", Support::Yes),
    ("require_auth", "PGREQUIREAUTH", Support::Yes),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION", Support::Yes),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION", Support::Yes),
    ("gssencmode", "PGGSSENCMODE", Support::Yes),
    ("krbsrvname", "PGKRBSRVNAME", Support::Moot),
    ("gsslib", "PGGSSLIB", Support::Moot),
    ("gssdelegation", "PGGSSDELEGATION", Support::Moot),
    ("replication", "", Support::No("pgark sets replication itself when it needs it")),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Support::Yes),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", Support::Yes),
];
