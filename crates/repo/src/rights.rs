//! What a writer may do, and what a signature is good for. The owner's lists (`writers.rs`) say who
//! has which right, and where.

use crate::ids::{Compartment, ObjectHash};

/// What a writer may do in its clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Write backups.
    Backup,
    /// Forget them, and change their tags.
    Forget,
    /// Delete what no backup needs, and rewrite the index.
    Prune,
    /// Put what is damaged into quarantine.
    Check,
}

impl Right {
    /// All of them.
    pub const ALL: [Right; 4] = [Right::Backup, Right::Forget, Right::Prune, Right::Check];

    /// As lists have it.
    pub fn name(self) -> &'static str {
        match self {
            Right::Backup => "backup",
            Right::Forget => "forget",
            Right::Prune => "prune",
            Right::Check => "check",
        }
    }

    /// The right of this name.
    pub fn parse(name: &str) -> Option<Right> {
        Right::ALL.into_iter().find(|right| right.name() == name)
    }
}

/// What someone's signature is to be good for.
#[derive(Clone, Copy)]
pub(crate) struct Claim<'c> {
    pub right: Right,
    pub scope: Scope<'c>,
    /// Of the signed object's bytes; none: of one that is to be made.
    pub hash: Option<&'c ObjectHash>,
}

/// Where it is to be good.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'c> {
    /// In the cluster of this hash, as names of objects have it.
    Cluster(&'c str),
    /// In a compartment: for whoever is allowed to write a cluster of it.
    Compartment(Compartment),
}
