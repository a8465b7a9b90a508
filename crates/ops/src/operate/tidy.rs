//! `tidy`: backups are forgotten, and the space that they took is freed, in one call.

use pgark_repo::Repository;
use schemars::JsonSchema;
use serde::Serialize;

use crate::upkeep::prune::{self, Pruned};
use crate::upkeep::retention::{self, Decision, WhatToForget};
use crate::{Job, OpsError};

/// What was done, or would be.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ForgetReport")]
pub struct Report {
    /// A decision for each backup that was named, or that the policy applies to.
    pub decisions: Vec<Decision>,
    /// The result of the prune (`--prune`); null without one.
    pub pruned: Option<Pruned>,
    /// Whether this was a dry run, which changes nothing.
    pub dry_run: bool,
}

/// Forgets; with `prune` frees the space behind it.
pub fn run(
    repository: &Repository,
    choice: &WhatToForget,
    prune: Option<&prune::Options>,
    dry_run: bool,
    job: &Job,
) -> Result<Report, OpsError> {
    let decisions = retention::forget(repository, choice, dry_run, job)?;
    let options = prune.map(|options| prune::Options {
        packs: prune::PruneOptions { dry_run, ..options.packs },
        ..*options
    });
    let pruned = options.map(|options| prune::run(repository, &options, job));
    let pruned = pruned.transpose().map_err(|error| behind(&decisions, error))?;
    Ok(Report { decisions, pruned, dry_run })
}

/// An interrupt of the prune: what was forgotten is forgotten.
fn behind(decisions: &[Decision], error: OpsError) -> OpsError {
    let gone: Vec<&str> =
        decisions.iter().filter(|decision| !decision.keep).map(|decision| decision.id.as_str()).collect();
    match error.is_cancelled() && !gone.is_empty() {
        true => OpsError::Interrupted {
            left: format!(
                "removed: {}; the prune that followed was not finished, and the next one continues",
                gone.join(", ")
            ),
        },
        false => error,
    }
}
