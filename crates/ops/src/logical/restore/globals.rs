//! Roles, memberships and tablespaces of the backup into a cluster that may have some of them
//! already.
//!
//! `/globals.sql` is pg_dumpall's own text. Its statements are run one by one for roles and
//! tablespaces that the target does not have. What already exists is never changed: where it is
//! other than in the backup, the report lists the difference.

use std::collections::{BTreeMap, BTreeSet};

use pgark_bytes::sql::{self, Token};
use pgark_pg::Connection;
use pgark_repo::{Backup, DataReader};

use super::report::ObjectError;
use super::request::Request;
use super::target;
use crate::advice::{Setting, advice};
use crate::error::{Doing, with_causes};
use crate::logical::whole::read_whole;
use crate::watch::Watch;
use crate::{Job, OpsError, paths};

/// What is to be done about the globals; empty if they were not asked for.
#[derive(Default)]
pub(super) struct Plan {
    /// What it is for people (never its text: that may hold a password), and the SQL.
    steps: Vec<(String, Vec<u8>)>,
    differences: Vec<String>,
    pub roles: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
}

/// What the target has.
struct Present {
    /// Attributes as `ALTER ROLE` names them.
    roles: BTreeMap<String, BTreeMap<String, String>>,
    /// `role` and its settings, `name=value`.
    settings: BTreeMap<String, Vec<String>>,
    memberships: BTreeSet<(String, String)>,
    /// Tablespaces and their places.
    tablespaces: BTreeMap<String, String>,
}

impl Plan {
    pub(super) fn make(
        backup: &Backup<'_>,
        reader: &DataReader<'_>,
        request: &Request,
        watch: &Watch,
    ) -> Result<Plan, OpsError> {
        if !request.globals {
            return Ok(Plan::default());
        }
        let Some(entry) = backup.entry(paths::GLOBALS)? else {
            return Err(OpsError::refused(
                format!("backup {} contains no globals", backup.head.id),
                advice!["restore without ", Setting::Globals, "; nothing was changed"],
            ));
        };
        let text = read_whole(reader, &entry)?;
        let mut connection = target::connect_to_maintenance(request, watch)?;
        let present = Present::read(&mut connection)?;
        let mut plan = Plan::default();
        for statement in sql::split(&text) {
            plan.add(without_commands(statement), &present);
        }
        Ok(plan)
    }

    pub(super) fn differences(&self) -> &[String] {
        &self.differences
    }

    fn add(&mut self, statement: &[u8], present: &Present) {
        let tokens: Vec<Token<'_>> = sql::tokenize(statement).filter(|token| !token.is_blank()).collect();
        let word = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is_word(word));
        let name = |at: usize| {
            tokens.get(at).and_then(Token::ident).map(|name| String::from_utf8_lossy(&name).into_owned())
        };
        let mut run = |what: String| self.steps.push((what, statement.to_vec()));
        if tokens.is_empty() {
            return;
        }
        if word(0, "set") {
            return run("a setting".into());
        }
        if word(0, "create") && word(1, "role") {
            let role = name(2).unwrap_or_default();
            if !present.roles.contains_key(&role) {
                run(format!("CREATE ROLE {role}"));
                self.roles.insert(role);
            }
            return;
        }
        if word(0, "alter") && word(1, "role") {
            let role = name(2).unwrap_or_default();
            let Some(attributes) = present.roles.get(&role) else { return run(format!("ALTER ROLE {role}")) };
            let differences = if word(3, "with") {
                attribute_differences(&role, &tokens, attributes)
            } else {
                let settings = present.settings.get(&role).map_or(&[][..], Vec::as_slice);
                setting_difference(&role, &tokens, settings).into_iter().collect()
            };
            return self.differences.extend(differences);
        }
        if word(0, "create") && word(1, "tablespace") {
            let tablespace = name(2).unwrap_or_default();
            let place = tokens
                .iter()
                .position(|token| token.is_word("location"))
                .and_then(|at| tokens.get(at + 1))
                .map(literal)
                .unwrap_or_default();
            match present.tablespaces.get(&tablespace) {
                None => {
                    run(format!("CREATE TABLESPACE {tablespace}"));
                    self.tablespaces.insert(tablespace);
                }
                Some(there) if *there != place => self
                    .differences
                    .push(format!("tablespace {tablespace} is in {there} here, in {place} in the backup")),
                Some(_) => {}
            }
            return;
        }
        // What is set on an existing role or tablespace is its own business.
        let tablespace =
            tokens.iter().position(|token| token.is_word("tablespace")).and_then(|at| name(at + 1));
        if let Some(tablespace) = tablespace.filter(|_| !word(0, "grant") || !word(2, "to")) {
            if !present.tablespaces.contains_key(&tablespace) {
                run(format!("a property of tablespace {tablespace}"));
            }
            return;
        }
        if (word(0, "comment") || word(0, "security")) && tokens.iter().any(|token| token.is_word("role")) {
            let role = tokens.iter().position(|token| token.is_word("role")).and_then(|at| name(at + 1));
            if role.as_ref().is_none_or(|role| !present.roles.contains_key(role)) {
                run(format!("a property of role {}", role.unwrap_or_default()));
            }
            return;
        }
        if word(0, "grant") && word(2, "to") {
            let (group, member) = (name(1).unwrap_or_default(), name(3).unwrap_or_default());
            let both_there = present.roles.contains_key(&group) && present.roles.contains_key(&member);
            if !both_there {
                run(format!("GRANT {group} TO {member}"));
            } else if !present.memberships.contains(&(group.clone(), member.clone())) {
                self.differences
                    .push(format!("role {member} is not a member of {group} here, but in the backup"));
            }
            return;
        }
        let shown: Vec<String> =
            tokens.iter().take(3).map(|token| String::from_utf8_lossy(token.text).into_owned()).collect();
        // A script of pg_dumpall --clean drops what it makes; whatever else is in the text, it is
        // no role and no tablespace.
        if ["grant", "revoke", "alter", "comment", "security"].iter().any(|own| word(0, own)) {
            run(shown.join(" "));
        } else {
            self.differences.push(format!(
                "not executed, because it does not create a role or tablespace: {}",
                shown.join(" ")
            ));
        }
    }

    /// Runs what the target does not have. A statement that fails is in the report.
    pub(super) fn carry_out(
        &self,
        request: &Request,
        watch: &Watch,
        job: &Job,
        errors: &mut Vec<ObjectError>,
    ) -> Result<(), OpsError> {
        if self.steps.is_empty() {
            return Ok(());
        }
        job.progress.phase("restoring roles and tablespaces");
        let mut connection = target::connect_to_maintenance(request, watch)?;
        for (what, statement) in &self.steps {
            job.cancel.check().map_err(|_| OpsError::Cancelled)?;
            match connection.simple_bytes(statement).doing(what.as_str()) {
                Ok(_) => {}
                Err(error) if error.is_refusal() && !job.cancel.is_cancelled() => {
                    let message = with_causes(&error);
                    job.progress.warn(&message);
                    errors.push(ObjectError::new(what.clone(), message));
                    if request.exit_on_error {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A statement without psql's own commands (`\restrict` and its like), which are on lines of their
/// own.
fn without_commands(statement: &[u8]) -> &[u8] {
    let mut rest = statement.trim_ascii_start();
    while rest.starts_with(b"\\") || rest.starts_with(b"--") {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        rest = rest.get(end..).unwrap_or_default().trim_ascii_start();
    }
    rest
}

/// A literal's or a name's value.
fn literal(token: &Token<'_>) -> String {
    let text = String::from_utf8_lossy(token.text);
    match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(inside) => inside.replace("''", "'"),
        None => {
            token.ident().map_or_else(|| text.to_string(), |name| String::from_utf8_lossy(&name).into_owned())
        }
    }
}

/// Attributes after `WITH` that are other in the target. Passwords are compared, never shown.
fn attribute_differences(
    role: &str,
    tokens: &[Token<'_>],
    present: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 4;
    while let Some(token) = tokens.get(at) {
        let word = String::from_utf8_lossy(token.text).to_lowercase();
        let (attribute, value, used) = match word.as_str() {
            "connection" => ("connection limit", tokens.get(at + 2..).map(number).unwrap_or_default(), 3),
            "password" => ("password", tokens.get(at + 1).map(literal).unwrap_or_default(), 2),
            "valid" => ("valid until", tokens.get(at + 2).map(literal).unwrap_or_default(), 3),
            _ => {
                let attribute = word.strip_prefix("no").filter(|rest| present.contains_key(*rest));
                let (attribute, value) = match attribute {
                    Some(attribute) => (attribute, "no"),
                    None => (word.as_str(), "yes"),
                };
                if let Some(there) = present.get(attribute).filter(|there| *there != value) {
                    found.push(format!("role {role}: {attribute} is {there} here, {value} in the backup"));
                }
                at += 1;
                continue;
            }
        };
        // A minus sign is a token of its own.
        at += used + usize::from(value.starts_with('-'));
        match (attribute, present.get(attribute)) {
            ("password", Some(there)) if *there != value => {
                found.push(format!("role {role} has another password here"))
            }
            ("password" | "valid until", _) => {}
            (_, Some(there)) if *there != value => {
                found.push(format!("role {role}: {attribute} is {there} here, {value} in the backup"));
            }
            _ => {}
        }
    }
    found
}

fn number(tokens: &[Token<'_>]) -> String {
    let text = |at: usize| {
        tokens.get(at).map(|token| String::from_utf8_lossy(token.text).into_owned()).unwrap_or_default()
    };
    if text(0) == "-" { format!("-{}", text(1)) } else { text(0) }
}

/// `ALTER ROLE r SET name TO value` against the target's settings of the role.
fn setting_difference(role: &str, tokens: &[Token<'_>], settings: &[String]) -> Option<String> {
    let set = tokens.iter().position(|token| token.is_word("set"))?;
    let name: Vec<String> = tokens
        .get(set + 1..)?
        .iter()
        .take_while(|token| !token.is_word("to") && !token.is_symbol(b'='))
        .map(literal)
        .collect();
    let name = name.concat();
    let values: Vec<String> = tokens
        .get(set + 2..)?
        .iter()
        .skip_while(|token| !token.is_word("to") && !token.is_symbol(b'='))
        .skip(1)
        .filter(|token| !token.is_symbol(b',') && !token.is_symbol(b';'))
        .map(literal)
        .collect();
    let value = values.join(", ");
    let there = settings.iter().find_map(|setting| {
        let (other, value) = setting.split_once('=')?;
        other.eq_ignore_ascii_case(&name).then(|| value.replace('"', ""))
    });
    match there {
        Some(there) if there == value => None,
        Some(there) => Some(format!("role {role}: {name} is {there} here, {value} in the backup")),
        None => Some(format!("role {role}: {name} is not set here, {value} in the backup")),
    }
}

impl Present {
    fn read(connection: &mut Connection) -> Result<Present, OpsError> {
        let doing = "read the target's roles and tablespaces";
        let flags = ["superuser", "inherit", "createrole", "createdb", "login", "replication", "bypassrls"];
        let mut roles = BTreeMap::new();
        let mut settings = BTreeMap::new();
        for row in connection
            .query(
                "SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, \
                 rolconnlimit, pg_catalog.array_to_string(rolconfig, E'\\n') FROM pg_catalog.pg_roles",
                &[],
            )
            .doing(doing)?
        {
            let text = |at: usize| row.opt_str(at).doing(doing).map(|text| text.unwrap_or_default().to_string());
            let mut attributes = BTreeMap::new();
            for (at, flag) in flags.iter().enumerate() {
                let value = if text(at + 1)? == "t" { "yes" } else { "no" };
                attributes.insert((*flag).to_string(), value.to_string());
            }
            if text(8)? != "-1" {
                attributes.insert("connection limit".into(), text(8)?);
            }
            settings.insert(text(0)?, text(9)?.lines().map(str::to_string).collect());
            roles.insert(text(0)?, attributes);
        }
        let sees = connection
            .query("SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')", &[])
            .doing(doing)?;
        if sees.first().map(|row| row.str(0)).transpose().doing(doing)? == Some("t") {
            for row in connection
                .query(
                    "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolpassword IS NOT NULL",
                    &[],
                )
                .doing(doing)?
            {
                if let Some(attributes) = roles.get_mut(row.str(0).doing(doing)?) {
                    attributes.insert("password".into(), row.str(1).doing(doing)?.to_string());
                }
            }
        }
        let mut memberships = BTreeSet::new();
        for row in connection
            .query(
                "SELECT g.rolname, m.rolname FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles g ON g.oid = a.roleid \
                 JOIN pg_catalog.pg_roles m ON m.oid = a.member",
                &[],
            )
            .doing(doing)?
        {
            memberships.insert((row.str(0).doing(doing)?.to_string(), row.str(1).doing(doing)?.to_string()));
        }
        let mut tablespaces = BTreeMap::new();
        for row in connection
            .query(
                "SELECT spcname, pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace",
                &[],
            )
            .doing(doing)?
        {
            tablespaces.insert(row.str(0).doing(doing)?.to_string(), row.str(1).doing(doing)?.to_string());
        }
        Ok(Present { roles, settings, memberships, tablespaces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present() -> Present {
        let attributes =
            [("superuser", "no"), ("login", "yes"), ("password", "md5x"), ("connection limit", "5")];
        Present {
            roles: [
                ("app".to_string(), attributes.map(|(k, v)| (k.to_string(), v.to_string())).into()),
                ("grp".to_string(), BTreeMap::new()),
            ]
            .into(),
            settings: [("app".to_string(), vec!["work_mem=64MB".to_string()])].into(),
            memberships: BTreeSet::new(),
            tablespaces: [("fast".to_string(), "/ssd".to_string())].into(),
        }
    }

    fn plan(sql: &str) -> Plan {
        let mut plan = Plan::default();
        for statement in sql::split(sql.as_bytes()) {
            plan.add(without_commands(statement), &present());
        }
        plan
    }

    #[test]
    fn what_is_there_is_compared_and_left() {
        let plan = plan(
            "\\restrict abc\n-- Roles\nCREATE ROLE app;\nALTER ROLE app WITH SUPERUSER LOGIN CONNECTION LIMIT -1 PASSWORD 'md5y' VALID UNTIL 'infinity';\n\
             ALTER ROLE app SET work_mem TO '32MB';\nALTER ROLE app SET search_path TO 'a', 'b';\nGRANT grp TO app GRANTED BY postgres;\n\
             CREATE TABLESPACE fast OWNER app LOCATION '/hdd';\n",
        );
        assert!(plan.steps.is_empty(), "{:?}", plan.steps.iter().map(|(what, _)| what).collect::<Vec<_>>());
        let text = plan.differences.join("\n");
        for part in [
            "superuser is no here, yes",
            "connection limit is 5 here, -1",
            "another password",
            "work_mem is 64MB here, 32MB",
            "search_path is not set here, a, b",
            "not a member of grp",
            "/ssd here",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("md5"), "{text}");
    }

    #[test]
    fn nothing_is_dropped() {
        let plan = plan(
            "DROP DATABASE shop;\nDROP ROLE IF EXISTS app;\nSELECT 1;\nREVOKE ALL ON PARAMETER x FROM app;\n",
        );
        assert_eq!(plan.steps.len(), 1);
        assert!(
            plan.differences.iter().any(|line| line.ends_with("DROP DATABASE shop")),
            "{:?}",
            plan.differences
        );
    }

    #[test]
    fn what_is_lacking_is_made() {
        let plan = plan(
            "SET client_encoding = 'UTF8';\nCREATE ROLE new;\nALTER ROLE new WITH LOGIN PASSWORD 'secret';\nGRANT grp TO new;\n\
             CREATE TABLESPACE slow OWNER new LOCATION '/x';\nGRANT ALL ON TABLESPACE slow TO new;\nCOMMENT ON ROLE new IS 'n';",
        );
        assert_eq!(plan.steps.len(), 7);
        assert!(plan.steps.iter().all(|(what, _)| !what.contains("secret")));
        assert!(
            plan.roles.contains("new") && plan.tablespaces.contains("slow") && plan.differences.is_empty()
        );
    }
}
