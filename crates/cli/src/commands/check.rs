//! `pgark check`.

use std::process::ExitCode;

use pgark_ops::check as ops;

use crate::args::{Check, Common, Level};
use crate::error::Failure;
use crate::{output, progress, repository};

/// Checks the repository; problems end with exit code 1.
pub fn run(common: &Common, args: Check) -> Result<ExitCode, Failure> {
    let level = match (args.read_data, args.level) {
        (true, _) | (false, Level::Data) => ops::Level::Data,
        (false, Level::Objects) => ops::Level::Objects,
        (false, Level::Structure) => ops::Level::Structure,
    };
    let repository = repository::open(&args.repository)?;
    let report = {
        let job = progress::watched_job(common)?;
        ops::run(&repository, level, &job)?
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
        let verdict =
            if report.ok { "no problem".into() } else { format!("{} problems", report.problems.len()) };
        let (objects, read) = (output::count(report.objects), output::bytes(report.bytes));
        output::line(&format!("{verdict} at level {} ({objects} objects, {read} read)", report.level))?;
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
