//! A rules file, and the key that it names.

use std::path::{Path, PathBuf};

use pgark_mask::catalog::Catalog;
use pgark_mask::finding::{Finding, Severity};
use pgark_mask::key::MaskKey;
use pgark_mask::plan::{Keys, Lock, Outcome, Plan};
use pgark_mask::rules::{KeySource, Rules};

use super::key;
use crate::OpsError;

/// A rules file is no longer.
const LONGEST: u64 = 16 << 20;
/// The lock's name, next to the rules.
pub const LOCK: &str = "mask.lock";

/// A rules file, and what it may ask for.
#[derive(Clone, Copy)]
pub struct RulesFile<'f> {
    /// Where it is.
    pub path: &'f Path,
    /// The environment's variables by name.
    pub variables: &'f dyn Fn(&str) -> Option<String>,
}

/// A rules file that was read.
#[derive(Debug)]
pub struct Loaded {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub rules: Rules,
    /// What is wrong with it, as far as it alone tells.
    pub findings: Vec<Finding>,
    /// The mask key; None: it cannot be had, and a finding says why.
    pub key: Option<MaskKey>,
    /// The key of this run, and the mask key's place where there is none.
    run: MaskKey,
}

/// Reads a rules file and fetches its key.
///
/// # Errors
/// A file that cannot be read. All that is wrong inside of it comes as findings.
pub fn load(file: &RulesFile<'_>) -> Result<Loaded, OpsError> {
    let reading =
        |source| OpsError::File { doing: "read the rules file", path: file.path.to_path_buf(), source };
    if std::fs::metadata(file.path).map_err(reading)?.len() > LONGEST {
        let what = format!("the rules file {} is larger than {} MiB", file.path.display(), LONGEST >> 20);
        return Err(OpsError::refused(what, "a rules file is a text of some pages"));
    }
    let bytes = std::fs::read(file.path).map_err(reading)?;
    let (rules, mut findings) = Rules::parse(&bytes, file.variables);
    let folder = file.path.parent().unwrap_or(Path::new("."));
    let key = match key::fetch(&rules, folder, file.variables) {
        Ok(key) => Some(key),
        Err(finding) => {
            findings.push(*finding);
            None
        }
    };
    let run = key::of_this_run()?;
    Ok(Loaded { path: file.path.to_path_buf(), rules, findings, key, run })
}

impl Loaded {
    /// The plan for a database, or what is wrong with it. Without a mask key there is no plan, and
    /// the findings are all the same.
    pub fn plan(&self, catalog: &Catalog) -> Outcome {
        self.plan_of(&self.rules, catalog)
    }

    /// The same of a part of the rules.
    pub(super) fn plan_of(&self, rules: &Rules, catalog: &Catalog) -> Outcome {
        let mask = self.key.as_ref().unwrap_or(&self.run);
        let outcome = Plan::make(rules, catalog, Keys { mask, run: &self.run });
        let mut findings = self.findings.clone();
        findings.extend(outcome.findings);
        let is_right = findings.iter().all(|finding| finding.severity != Severity::Error);
        Outcome { plan: outcome.plan.filter(|_| is_right), findings, columns: outcome.columns }
    }

    /// That rules cannot be used, with the first reasons.
    pub(crate) fn refused(&self, findings: &[Finding]) -> OpsError {
        const SHOWN: usize = 5;
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        let mut texts: Vec<String> = errors.map(|finding| self.line(finding)).collect();
        let count = match texts.len() {
            1 => "an error".to_string(),
            count => format!("{count} errors"),
        };
        if texts.len() > SHOWN {
            let more = texts.split_off(SHOWN).len();
            texts.push(format!("and {more} more"));
        }
        OpsError::refused(
            format!("the mask rules have {count}:\n  {}", texts.join("\n  ")),
            format!("`pgark mask check {}` shows all, each with what to do", self.path.display()),
        )
    }

    /// `shop.toml:17:9: M150 public.customers.nickname: no rule speaks of it`.
    fn line(&self, finding: &Finding) -> String {
        let place = finding.place.map(|place| format!(":{}:{}", place.line, place.column));
        let on: Vec<&str> = finding.table.iter().chain(&finding.column).map(String::as_str).collect();
        let on = if on.is_empty() { String::new() } else { format!(" {}", on.join(".")) };
        let place = place.unwrap_or_default();
        format!("{}{place}: {}{on}: {}", self.path.display(), finding.code, finding.message)
    }

    /// The mask key, for rows that are stored.
    ///
    /// # Errors
    /// Rules that are wrong by themselves, or whose key cannot be had.
    pub(crate) fn usable_key(&self) -> Result<&MaskKey, OpsError> {
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        match &self.key {
            Some(key) if !self.findings.iter().any(is_error) => Ok(key),
            _ => Err(self.refused(&self.findings)),
        }
    }

    /// Whether the mask key is a new one each run.
    pub(crate) fn is_ephemeral(&self) -> bool {
        matches!(self.rules.key, Some((KeySource::Ephemeral, _)))
    }

    /// The file's name without its folder.
    pub fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The lock of these rules: the given file, or `mask.lock` next to the rules if that is theirs.
    ///
    /// # Errors
    /// A file that was named and is not there, that cannot be read, or that is not a lock.
    pub fn lock(&self, named: Option<&Path>) -> Result<Option<Lock>, OpsError> {
        let path = named.map_or_else(|| self.path.with_file_name(LOCK), Path::to_path_buf);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => return Ok(None),
            Err(source) => return Err(OpsError::File { doing: "read the lock", path, source }),
        };
        let lock = Lock::parse(&text).map_err(|error| {
            OpsError::refused(format!("{}: {error}", path.display()), "`pgark mask lock` writes a new one")
        })?;
        Ok(Some(lock).filter(|lock| named.is_some() || lock.rules == self.name()))
    }

    /// What tells its key apart; empty where there is none.
    pub fn key_fingerprint(&self) -> String {
        self.key.as_ref().map(MaskKey::fingerprint).unwrap_or_default()
    }
}
