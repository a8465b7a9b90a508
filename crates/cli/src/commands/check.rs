//! `pgark check`.

use std::process::ExitCode;

use pgark_ops::check as ops;

use crate::args::{Check, Level};
use crate::context::Context;
use crate::error::Failure;
use crate::when::{self, Moment};
use crate::{output, progress, repository};

/// Checks the repository; problems end with exit code 1.
pub fn run(context: &Context, args: Check) -> Result<ExitCode, Failure> {
    let level = match (args.read_data, args.level) {
        (Some(_), _) | (None, Level::Data) => ops::Level::Data,
        (None, Level::Objects) => ops::Level::Objects,
        (None, Level::Structure) => ops::Level::Structure,
    };
    let options =
        ops::Options { level, since: args.since.map(Moment::start), percent: args.read_data.unwrap_or(100) };
    let repository = repository::open_as_of(context, &args.repository, &args.past)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        ops::run(&repository, &options, &job)?
    };
    if args.json {
        output::json(&report)?;
    } else {
        for problem in &report.problems {
            output::line(&format!("{}: {}", problem.object, problem.what))?;
            if !problem.backups.is_empty() {
                output::line(&format!("  needed by {}", problem.backups.join(", ")))?;
            }
        }
        for hurt in &report.hurt {
            output::line(&format!("backup {}: {}", hurt.backup, ops::in_words(hurt)))?;
        }
        for suspect in &report.suspect {
            output::line(&format!(
                "backup {}: {} of the packs that it needs were made with the key of the writer {} since {}, when somebody else \
                 may have had it. `pgark check --read-data` tells whether they hold what they should; the next backup stores \
                 again what it needs of them, and `pgark forget {}` lets go of this one",
                suspect.backup,
                output::count(suspect.packs),
                suspect.writer,
                when::of_report(&suspect.since),
                suspect.backup
            ))?;
        }
        for ahead in &report.ahead {
            output::line(&format!(
                "backup {}: its time {} is ahead of the storage's clock, which said {}: it is never `latest`, and no rule of \
                 `forget` counts it (`pgark forget {}` removes it)",
                ahead.backup,
                when::of_report(&ahead.time),
                when::of_report(&ahead.stored),
                ahead.backup
            ))?;
        }
        if !report.foreign.is_empty() {
            let shown: Vec<String> =
                report.foreign.iter().take(10).map(|name| name.escape_debug().to_string()).collect();
            let more = match report.foreign.len() {
                0..=10 => String::new(),
                all => format!(" and {} more", output::count(all as u64 - 10)),
            };
            output::line(&format!("note: not of this repository, and ignored: {}{more}", shown.join(", ")))?;
        }
        let verdict =
            if report.ok { "no problem".into() } else { format!("{} problems", report.problems.len()) };
        let (objects, read) = (output::count(report.objects), output::bytes(report.bytes));
        output::line(&format!("{verdict} at level {} ({objects} objects, {read} read)", report.level))?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
