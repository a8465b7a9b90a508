//! Options that choose objects, as `pgark_ops` takes them.

use pgark_ops::{BackupName, restore as ops};

use crate::args::{Section, Selection};
use crate::error::Failure;

fn part(section: &Section) -> ops::DumpSection {
    match section {
        Section::PreData => ops::DumpSection::PreData,
        Section::Data => ops::DumpSection::Data,
        Section::PostData => ops::DumpSection::PostData,
    }
}

/// The choice that these options make. Owners and privileges are no part of it: they are left out
/// of what was chosen.
pub fn chosen(selection: Selection) -> Result<ops::ContentsFilter, Failure> {
    let list = match &selection.use_list {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| Failure::input(format!("read the list {}", path.display()), source))?;
            let list = ops::parse_list(&text).map_err(|what| {
                Failure::usage(
                    format!("{}, {what}", path.display()),
                    "`pgark restore ID --list` writes such a list",
                )
            })?;
            Some(list)
        }
    };
    Ok(ops::ContentsFilter {
        parts: if selection.data_only {
            vec![ops::DumpSection::Data]
        } else {
            selection.section.iter().map(part).collect()
        },
        schema_only: selection.schema_only,
        data_only: selection.data_only,
        no_tablespaces: selection.no_tablespaces,
        no_comments: selection.no_comments,
        no_publications: selection.no_publications,
        no_subscriptions: selection.no_subscriptions,
        schema: selection.schema,
        exclude_schema: selection.exclude_schema,
        table: selection.table,
        exclude_table: selection.exclude_table,
        no_children: selection.no_children,
        list,
        strict_names: selection.strict_names,
    })
}

/// The databases that are wanted: those of `--database`, or the one that the backup's name says
/// (`latest:shop`).
pub fn databases(name: &BackupName, given: Vec<String>) -> Result<Vec<String>, Failure> {
    match (name.database(), given.as_slice()) {
        (None, _) => Ok(given),
        (Some(own), []) => Ok(vec![own.to_string()]),
        (Some(own), [one]) if own == one => Ok(given),
        (Some(own), _) => Err(Failure::usage(
            format!("{} names the database {own}, and --database {}", name.text, given.join(", ")),
            "name it once",
        )),
    }
}
