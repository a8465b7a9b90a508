//! `pgark config convert`: another program's configuration as `pgark.toml`. What has no counterpart
//! is named, never dropped in silence.

mod converted;
mod greenmask;
mod options;
mod pg_back;

use std::io::Write;

use crate::args::{Convert, Foreign};
use crate::error::Failure;

/// Prints the converted file, and names what is not in it.
pub fn run(args: &Convert) -> Result<(), Failure> {
    let path = args.file.display();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|source| Failure::input(format!("read {path}"), source))?;
    let from = args.from.unwrap_or_else(|| guess(&args.file, &text));
    let converted = match from {
        Foreign::PgBack => pg_back::version_2(&text),
        Foreign::PgBack1 => Ok(pg_back::version_1(&text)),
        Foreign::Greenmask => greenmask::convert(&text),
    };
    let converted = converted.map_err(|what| {
        Failure::usage(
            format!("{path}: {what}"),
            "--from names the program whose file it is: pg_back, pg_back1, greenmask",
        )
    })?;
    std::io::stdout()
        .lock()
        .write_all(converted.to_toml(&args.cluster).as_bytes())
        .map_err(Failure::output)?;
    for (key, why) in &converted.left {
        tracing::warn!("{key} is not carried over: {why}");
    }
    Ok(())
}

fn guess(path: &std::path::Path, text: &str) -> Foreign {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    if matches!(extension.as_deref(), Some("yml" | "yaml" | "json")) {
        return Foreign::Greenmask;
    }
    if text.lines().any(|line| line.trim_start().starts_with("PGBK_")) {
        Foreign::PgBack1
    } else {
        Foreign::PgBack
    }
}
