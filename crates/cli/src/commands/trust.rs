//! `pgark trust`.

use std::process::ExitCode;

use pgark_ops::repository::TrustReport;

use crate::args::Trust;
use crate::context::Context;
use crate::environment::local_folders;
use crate::error::Failure;
use crate::json::Document;
use crate::{output, repository, terminal};

/// Replaces what this host remembers of a place by the repository that is there.
pub fn run(context: &Context, args: Trust) -> Result<ExitCode, Failure> {
    let place = repository::known_place(context, &args.repo, args.storage)?;
    let local = local_folders(false);
    let stranger = place.stranger(&local)?;
    if let Some(fingerprint) = &args.fingerprint {
        stranger.expect(fingerprint)?;
    }
    let report = stranger.report();
    if report.copy_is_remembered {
        tracing::warn!(
            "the second copy of the header at {} is the one that this host remembers: someone replaced or damaged the first. \
             The repository can be opened as it is",
            report.storage
        );
    }
    if report.changed {
        // A first look is trusted by every command, too.
        if report.remembered.is_some() && args.fingerprint.is_none() && !args.yes {
            ask(&report)?;
        }
        stranger.trust()?;
    }
    if args.json {
        output::json(&Document::Trust(&report))?;
    } else {
        output::line(&format!("repository {}", report.id))?;
        output::line(&format!("fingerprint {}", report.fingerprint))?;
        output::line(&match &report.remembered {
            None => "this host had not seen this place before: it now remembers the fingerprint".to_string(),
            Some(_) if !report.changed => {
                "this host already remembers this fingerprint: nothing was changed".to_string()
            }
            Some(before) => format!("this host remembers it instead of {before}"),
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks on the terminal; fails unless the answer is yes.
fn ask(report: &TrustReport) -> Result<(), Failure> {
    let before = report.remembered.as_deref().unwrap_or_default();
    if !terminal::is_there() {
        return Err(Failure::usage(
            format!(
                "the repository at {} has the fingerprint {}, this host remembers {before}, and there is no terminal to ask on",
                report.storage, report.fingerprint
            ),
            "compare it with the one that `pgark init` printed, and give it: --fingerprint FINGERPRINT; --yes accepts any \
             repository. Nothing was changed",
        ));
    }
    let kind = if report.encrypted { "encrypted" } else { "not encrypted" };
    let question = format!(
        "{}\n  remembered   {before}\n  current      {}  (repository {}, {kind})\n\
         Compare it with the fingerprint that `pgark init` printed. Accept the current one? [yes/no]",
        report.storage, report.fingerprint, report.id
    );
    match is_yes(&terminal::ask(&question, false)?) {
        true => Ok(()),
        false => Err(Failure::refused("it was not accepted; nothing was changed", None)),
    }
}

/// The whole word: a key that was hit by chance accepts nothing.
fn is_yes(answer: &str) -> bool {
    answer.trim().eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_yes_is_yes() {
        for (answer, is) in
            [("yes\n", true), (" YES \r\n", true), ("y\n", false), ("", false), ("no\n", false)]
        {
            assert_eq!(super::is_yes(answer), is, "{answer:?}");
        }
    }
}
