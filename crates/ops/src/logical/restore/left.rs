//! What a restore that was stopped leaves behind.

use std::sync::atomic::Ordering;

use super::place::DatabaseRestore;
use super::request::Target;
use super::trail::Stage;

/// What a restore that was stopped leaves behind, and what to do.
pub(super) fn left(places: &[DatabaseRestore<'_>], globals: bool) -> String {
    let named = |stage: Stage| -> Vec<&DatabaseRestore<'_>> {
        places.iter().filter(|place| place.earlier.is_none() && place.trail.stage() == stage).collect()
    };
    let names = |places: &[&DatabaseRestore<'_>]| {
        let names: Vec<String> =
            places.iter().map(|place| format!("{:?}", place.conninfo.dbname())).collect();
        let word = if names.len() == 1 { "database" } else { "databases" };
        format!("{word} {}", names.join(", "))
    };
    let mut said = Vec::new();
    if globals {
        said.push("roles and tablespaces of the backup may have been created".to_string());
    }
    let done = named(Stage::Done);
    if !done.is_empty() {
        said.push(format!("{} restored", names(&done)));
    }
    let untouched: Vec<&DatabaseRestore<'_>> =
        named(Stage::Untouched).into_iter().chain(named(Stage::Transaction)).collect();
    if !untouched.is_empty() {
        said.push(format!("nothing was changed in {}", names(&untouched)));
    }
    for place in named(Stage::Dropping) {
        said.push(format!(
            "objects of the backup may have been dropped from {}: run the same command again",
            names(&[place])
        ));
    }
    for place in named(Stage::Committing) {
        said.push(format!(
            "it is not known whether the transaction in {} was committed: check the database",
            names(&[place])
        ));
    }
    for place in named(Stage::InPart) {
        let what_next = match place.target {
            Target::Create if place.is_marked() && place.created.load(Ordering::Acquire) => {
                "run the same command again: it creates this database again"
            }
            Target::Clean => "run the same command again",
            _ if place.request.choice.makes_definitions() => {
                "drop what was restored, or the database, before you restore again"
            }
            _ => "each table has either all of its rows or none",
        };
        said.push(format!(
            "{} is incomplete, and what was restored stays in it ({what_next})",
            names(&[place])
        ));
    }
    if places.iter().any(|place| !place.request.hooks.is_empty() && place.trail.stage() != Stage::Untouched) {
        said.push("hooks have run".to_string());
    }
    if said.is_empty() { "nothing was changed in the target".to_string() } else { said.join("; ") }
}
