//! Which of the server's settings a session fixes for itself, and why.
//!
//! Anybody may tie settings to a role or a database (`ALTER ROLE … SET`), and a session begins with
//! them. What changes the text or the meaning of values, what refuses statements and what ends
//! sessions is fixed after login ([`crate::Login`]). pg_dump and pg_restore fix some of it
//! (`setup_connection`, `_doSetFixedOutputState`); the rest is here, because it was found to do
//! harm, or may. A test holds both tables against `pg_settings` of every major: a setting that
//! neither names is one that nobody has thought about.

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Reading rows and catalogs: the text of a value depends on the value alone.
    Read,
    /// Restoring definitions and rows.
    Load,
}

/// A setting that sessions fix.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its name in `pg_settings`.
    pub name: &'static str,
    /// Its value while rows and catalogs are read; none: as it is.
    pub read: Option<&'static str>,
    /// Its value in a restore; none: as it is, or as the archive says.
    pub load: Option<&'static str>,
    /// Its value in pg_dump and pg_dumpall, which do not fix it themselves and whose text it
    /// changes or whose session it ends; none: they fix it, or it does neither.
    pub child: Option<&'static str>,
    /// What it would do.
    pub why: &'static str,
}

const fn fixed(name: &'static str, value: &'static str, why: &'static str) -> Setting {
    Setting { name, read: Some(value), load: Some(value), child: None, why }
}

impl Setting {
    const fn read_only(self) -> Setting {
        Setting { load: None, ..self }
    }

    const fn load_only(self) -> Setting {
        Setting { read: None, ..self }
    }

    const fn in_child(self) -> Setting {
        Setting { child: self.read, ..self }
    }

    /// Its value for this use.
    pub fn value(&self, purpose: Use) -> Option<&'static str> {
        match purpose {
            Use::Read => self.read,
            Use::Load => self.load,
        }
    }

    /// Whether a session that has `value` has what is wanted: `ISO, DMY` is `ISO`, and no locale
    /// `C`.
    pub fn is(&self, wanted: &str, value: &str) -> bool {
        let value = if self.name == "search_path" && value == "\"\"" { "" } else { value };
        // Locales without conventions of their own.
        let value = if self.name == "lc_monetary" && (value == "POSIX" || value.starts_with("C.")) {
            "C"
        } else {
            value
        };
        value.eq_ignore_ascii_case(wanted)
            || (self.name == "DateStyle"
                && value.split(',').next().is_some_and(|style| style.eq_ignore_ascii_case(wanted)))
    }
}

/// Settings that sessions fix.
pub const SETTINGS: &[Setting] = &[
    // The text of values.
    fixed("DateStyle", "ISO", "the text of dates and times; ISO is read back under any order of day and month"),
    fixed("IntervalStyle", "postgres", "the text of intervals, and what a sign in it means"),
    fixed("TimeZone", "UTC", "the offset that times are written with; rows name it, so a restore leaves the database's own zone to its constraints and views")
        .read_only(),
    fixed("extra_float_digits", "3", "digits of floating-point numbers that are cut off").read_only(),
    fixed("bytea_output", "hex", "the text of bytea").read_only().in_child(),
    fixed("lc_monetary", "C", "sign, separators and digits of money; a restore sets it where the backup was made under it")
        .read_only()
        .in_child(),
    fixed("array_nulls", "on", "off reads NULL in an array as the text 'NULL'"),
    fixed("xmloption", "content", "document refuses XML that is not a document"),
    fixed("quote_all_identifiers", "off", "quotes every name in what the server writes of definitions").in_child(),
    fixed("standard_conforming_strings", "on", "off makes a backslash in a plain string an escape; a restore sets what the archive says")
        .read_only()
        .in_child(),
    fixed("backslash_quote", "safe_encoding", "whether \\' is a quote in a string").load_only(),
    fixed("transform_null_equals", "off", "makes x = NULL another condition than the one that is written"),
    fixed("gin_fuzzy_search_limit", "0", "leaves rows out of what a GIN index finds, at random"),
    // Which rows and objects.
    fixed("search_path", "", "which object a bare name is; a restore then sets what the archive says"),
    fixed("row_security", "off", "on leaves rows out without a word; off refuses"),
    fixed("synchronize_seqscans", "off", "the order in which a table's rows come").read_only(),
    Setting {
        name: "restrict_nonsystem_relation_kind",
        read: Some("view, foreign-table"),
        load: Some(""),
        child: None,
        why: "what keeps a view from running its owner's code in our session; a restore fills materialised views from views",
    },
    fixed("session_replication_role", "origin", "replica fires no triggers and checks no foreign keys").load_only(),
    fixed("createrole_self_grant", "", "grants roles that are made to who makes them"),
    fixed("icu_validation_level", "warning", "error refuses a database or collation that the source has").load_only(),
    // What refuses statements or ends sessions.
    fixed("default_transaction_read_only", "off", "refuses whatever writes"),
    fixed("default_transaction_isolation", "read committed", "serializable ends parallel work with conflicts"),
    fixed("default_transaction_deferrable", "off", "waits before a transaction begins"),
    fixed("statement_timeout", "0", "ends a long statement").in_child(),
    fixed("lock_timeout", "0", "ends a wait for a lock").in_child(),
    fixed("idle_in_transaction_session_timeout", "0", "ends a session that holds a snapshot").in_child(),
    fixed("idle_session_timeout", "0", "ends a session that waits for work").in_child(),
    fixed("transaction_timeout", "0", "ends a long transaction").in_child(),
    fixed("exit_on_error", "off", "ends the session at an error that is expected, such as a lock that is not free")
        .in_child(),
    fixed("check_function_bodies", "off", "refuses a function whose tables come later").load_only(),
    // What costs time.
    fixed("jit", "off", "compiles queries of catalogs for longer than they run").read_only(),
    fixed("synchronous_commit", "off", "waits for the disk at each commit; a restore waits once, at its end").load_only(),
    fixed("client_min_messages", "warning", "sends data that is never read"),
];

/// Settings that a session leaves as they are, of the categories that [`SETTINGS`] are from, and
/// why that does no harm.
pub const LEFT: &[(&str, &str)] = &[
    ("client_encoding", "each session sets it to what it reads or writes"),
    ("transaction_isolation", "each transaction says it where it matters"),
    ("transaction_deferrable", "each transaction says it where it matters"),
    ("transaction_read_only", "each transaction says it where it matters"),
    ("default_tablespace", "a restore sets it for each entry, unless the target's own is asked for"),
    ("default_table_access_method", "a restore sets it for each entry"),
    ("default_toast_compression", "how a value is kept, not what it is; columns say what they want"),
    ("temp_tablespaces", "where what is sorted lies meanwhile"),
    ("gin_pending_list_limit", "speed only"),
    ("password_encryption", "passwords are restored as hashes"),
    ("scram_iterations", "passwords are restored as hashes"),
    ("md5_password_warnings", "a warning only"),
    ("event_triggers", "a user with the right to turn them off for a restore does so on purpose"),
    ("default_text_search_config", "the database's own, for its functions and views"),
    (
        "lc_messages",
        "errors are distinguished by code; where pg_dump's messages are read, its session has them in English",
    ),
    ("lc_numeric", "to_char only: the database's own, for its functions and views"),
    ("lc_time", "to_char only: the database's own, for its functions and views"),
    ("timezone_abbreviations", "our text has offsets, no abbreviations"),
    ("xmlbinary", "xmlelement only: the database's own, for its functions and views"),
    ("escape_string_warning", "a warning only"),
    ("operator_precedence_warning", "a warning only"),
    ("lo_compat_privileges", "who is allowed to read large objects; it leaves none out"),
    ("dynamic_library_path", "where the database's libraries are"),
    ("extension_destdir", "where the database's extensions are"),
    ("extension_control_path", "where the database's extensions are"),
    ("local_preload_libraries", "loaded before the session can say anything"),
    ("session_preload_libraries", "loaded before the session can say anything"),
    ("client_connection_check_interval", "ends the sessions of clients that are gone"),
    ("tcp_keepalives_count", "ends the sessions of clients that are gone"),
    ("tcp_keepalives_idle", "ends the sessions of clients that are gone"),
    ("tcp_keepalives_interval", "ends the sessions of clients that are gone"),
    ("tcp_user_timeout", "ends the sessions of clients that are gone"),
    ("ssl_renegotiation_limit", "without effect"),
    ("vacuum_failsafe_age", "VACUUM only"),
    ("vacuum_freeze_min_age", "VACUUM only"),
    ("vacuum_freeze_table_age", "VACUUM only"),
    ("vacuum_multixact_failsafe_age", "VACUUM only"),
    ("vacuum_multixact_freeze_min_age", "VACUUM only"),
    ("vacuum_multixact_freeze_table_age", "VACUUM only"),
    ("vacuum_cleanup_index_scale_factor", "VACUUM only"),
    ("vacuum_truncate", "VACUUM only"),
    ("zero_damaged_pages", "on, rows are lost without a word: a backup warns of it"),
    ("ignore_checksum_failure", "on, damaged rows may be read: a backup warns of it"),
    ("plpgsql.check_asserts", "the database's own, for its functions"),
    ("plpgsql.extra_errors", "the database's own, for its functions"),
    ("plpgsql.extra_warnings", "a warning only"),
    ("plpgsql.print_strict_params", "the database's own, for its functions"),
    ("plpgsql.variable_conflict", "the database's own, for its functions"),
];

/// Categories of settings of which none changes what is read or written, and why.
pub const HARMLESS_CATEGORIES: &[(&str, &str)] = &[
    ("Query Tuning", "which plan, not which rows"),
    ("Reporting and Logging", "what the server writes into its log"),
    ("Resource Usage", "memory, disk and processes"),
    ("Statistics", "what the server counts"),
    ("Write-Ahead Log", "how changes are logged; synchronous_commit is above"),
    ("Replication", "standbys and subscriptions"),
    ("Vacuuming", "VACUUM only"),
    ("Autovacuum", "VACUUM only"),
    ("Developer Options", "traces, delays and protections; the two that hide damage are above"),
    ("Lock Management", "how soon a deadlock is looked for"),
    ("File Locations", "where the server's files are"),
    ("Process Title", "what ps shows"),
];
