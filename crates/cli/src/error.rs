//! One translator from errors to words, a hint and an exit code.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

use pgark_ops::OpsError;

use crate::json::{Failed, FailureKind};
use crate::visible::visible_lines;
use crate::{hints, log};

/// Finished, but something that was asked for is missing.
pub const INCOMPLETE: u8 = 3;
const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// Stopped from outside.
pub const INTERRUPTED: u8 = 130;

/// How a server that started the program understands exit codes (trap 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// It archives: above 125 it restarts its archiver.
    Archiving,
    /// It recovers: up to 125 it takes for the end of the WAL, and opens.
    Recovering,
    /// It is a standby: above 125 it shuts down, and below it asks again.
    Standby,
}

static ANSWERS: OnceLock<Answers> = OnceLock::new();

/// From now on a failure ends the program with a code that the server understands.
pub fn answers_are(answers: Answers) {
    let _ = ANSWERS.set(answers);
}

/// The exit code of a failure, for whoever has started the program.
fn answer(code: u8) -> ExitCode {
    /// The least code that ends a recovery.
    const STOP: u8 = 126;
    ExitCode::from(match ANSWERS.get() {
        None => code,
        Some(Answers::Archiving) => code.min(STOP - 1),
        Some(Answers::Recovering) => STOP,
        Some(Answers::Standby) => FAILED,
    })
}

/// The exit code of a panic, which has said itself what it is.
pub fn panicked() -> ExitCode {
    answer(FAILED)
}

/// Why the program does not end with 0.
#[derive(Debug)]
pub enum Failure {
    /// An operation failed.
    Ops(OpsError),
    /// The same with a hint that knows more than the operation does.
    Hinted { error: Box<OpsError>, hint: String },
    /// The command line cannot be parsed. Also help and version, which clap returns as errors.
    Typed(clap::Error),
    /// Something of the program itself: a file named by an option, the output.
    Own { what: String, hint: Option<String>, usage: bool, source: Option<io::Error> },
}

impl From<OpsError> for Failure {
    fn from(error: OpsError) -> Failure {
        Failure::Ops(error)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Failure {
        Failure::Typed(error)
    }
}

impl Failure {
    pub fn usage(what: impl Into<String>, hint: &str) -> Failure {
        Failure::Own { what: what.into(), hint: Some(hint.into()), usage: true, source: None }
    }

    /// Something that is not possible as asked.
    pub fn refused(what: &str, hint: Option<&str>) -> Failure {
        Failure::Own { what: what.into(), hint: hint.map(str::to_string), usage: false, source: None }
    }

    /// A failure with another hint.
    pub fn hinted(failure: Failure, hint: String) -> Failure {
        match failure {
            Failure::Ops(error) => Failure::Hinted { error: Box::new(error), hint },
            Failure::Hinted { error, .. } => Failure::Hinted { error, hint },
            failure @ Failure::Typed(_) => failure,
            Failure::Own { what, usage, source, .. } => {
                Failure::Own { what, hint: Some(hint), usage, source }
            }
        }
    }

    /// A file could not be written, or the system refused something else.
    pub fn file(what: impl Into<String>, source: io::Error) -> Failure {
        Failure::Own { what: what.into(), hint: None, usage: false, source: Some(source) }
    }

    /// A file with a secret or with settings could not be read. That is wrong usage, like a file
    /// with nothing usable in it.
    pub fn input(what: impl Into<String>, source: io::Error) -> Failure {
        Failure::Own { what: what.into(), hint: None, usage: true, source: Some(source) }
    }

    /// A storage that loses what it is given.
    pub fn unfit(location: &str) -> Failure {
        Failure::Own {
            what: format!("{location} loses what is stored in it; nothing was created there"),
            hint: Some("`pgark storage test` shows all results; use another storage".into()),
            usage: false,
            source: None,
        }
    }

    /// Writing to standard output failed.
    pub fn output(source: io::Error) -> Failure {
        Failure::Ops(OpsError::Output(source))
    }

    /// Whether the caller asked for something that makes no sense.
    pub fn is_usage(&self) -> bool {
        self.code() == USAGE
    }

    /// Whether someone has stopped the job.
    pub fn is_interrupted(&self) -> bool {
        self.code() == INTERRUPTED
    }

    fn code(&self) -> u8 {
        match (self.operation(), self) {
            (Some(error), _) if error.is_cancelled() => INTERRUPTED,
            (Some(error), _) if error.is_usage() => USAGE,
            (_, Failure::Typed(_) | Failure::Own { usage: true, .. }) => USAGE,
            _ => FAILED,
        }
    }

    /// The operation's error, if one failed.
    fn operation(&self) -> Option<&OpsError> {
        match self {
            Failure::Ops(error) => Some(error),
            Failure::Hinted { error, .. } => Some(error),
            Failure::Typed(_) | Failure::Own { .. } => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Failure::Ops(error) => hints::of(error),
            Failure::Hinted { hint, .. } => Some(hint.clone()),
            Failure::Typed(error) => typing_hint(error),
            Failure::Own { hint, .. } => hint.clone(),
        }
    }

    /// The error and its causes, outermost first, none repeated.
    fn chain(&self) -> Vec<String> {
        let (first, mut cause) = match self {
            Failure::Ops(error) => (hints::words_of(error), error.source()),
            Failure::Hinted { error, .. } => (hints::words_of(error), error.source()),
            Failure::Typed(error) => (typing_error(error), None),
            Failure::Own { what, source, .. } => {
                (what.clone(), source.as_ref().map(|source| source as &dyn Error))
            }
        };
        let mut chain = vec![first];
        while let Some(error) = cause {
            let text = error.to_string();
            if chain.last() != Some(&text) {
                chain.push(text);
            }
            cause = error.source();
        }
        chain
    }

    /// The error with its causes, in one line.
    pub fn words(&self) -> String {
        self.chain().join(": ")
    }

    /// What an interrupted job says.
    fn interrupted(&self, left: &str) -> String {
        match self {
            Failure::Ops(error @ OpsError::Interrupted { .. }) => error.to_string(),
            Failure::Ops(error) if error.is_unsure() => {
                format!("interrupted: {error}; `pgark list` shows it if it was")
            }
            _ => format!("interrupted: {left}"),
        }
    }

    /// The reader of our output went away: that is not an error of ours.
    fn is_broken_pipe(&self) -> bool {
        matches!(self, Failure::Ops(OpsError::Output(source)) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Says what went wrong on standard error. `left`: what an interrupt leaves behind, where the
/// failure does not say it.
pub fn report(failure: &Failure, json: bool, left: &str) -> ExitCode {
    if failure.is_broken_pipe() {
        return ExitCode::SUCCESS;
    }
    // Help and version are not failures: clap prints them to standard output.
    if let Failure::Typed(error) = failure
        && !(json && error.use_stderr())
    {
        let _ = error.print();
        return if error.use_stderr() { answer(USAGE) } else { ExitCode::SUCCESS };
    }
    let code = failure.code();
    let chain = match code {
        INTERRUPTED => vec![failure.interrupted(left)],
        _ => failure.chain(),
    };
    let text = chain.join(": ");
    let hint = failure.hint().filter(|_| code != INTERRUPTED);
    // For the log file, and for standard error where that is a log of JSON.
    match &hint {
        Some(hint) => tracing::error!(target: log::REPORTED, "{text}\nhint: {hint}"),
        None => tracing::error!(target: log::REPORTED, "{text}"),
    }
    let mut stderr = io::stderr().lock();
    // Where standard error is closed there is nobody to tell.
    let _ = if json {
        let failed = Failed::new(text, hint, kind(code), code);
        writeln!(stderr, "{}", serde_json::to_string(&failed).unwrap_or_default())
    } else if log::is_json() {
        Ok(())
    } else if code == INTERRUPTED {
        writeln!(stderr, "{text}")
    } else {
        let hint = hint.map(|hint| format!("\nhint: {}", visible_lines(&hint))).unwrap_or_default();
        writeln!(stderr, "{} {}{hint}", log::error_word(), visible_lines(&text))
    };
    answer(code)
}

fn kind(code: u8) -> FailureKind {
    match code {
        USAGE => FailureKind::Usage,
        INTERRUPTED => FailureKind::Interrupted,
        _ => FailureKind::Failed,
    }
}

/// The paragraphs of clap's text, each in one line: the error, tips, the usage.
fn paragraphs(error: &clap::Error) -> Vec<String> {
    let text = error.render().to_string();
    text.split("\n\n").map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What is wrong with the command line.
fn typing_error(error: &clap::Error) -> String {
    let first = paragraphs(error).into_iter().next().unwrap_or_default();
    first.strip_prefix("error: ").map(str::to_string).unwrap_or(first)
}

/// Clap's tips, and the usage.
fn typing_hint(error: &clap::Error) -> Option<String> {
    let lines = paragraphs(error).into_iter().skip(1).filter_map(|line| match line.strip_prefix("tip: ") {
        Some(tip) => Some(tip.replace(" tip: ", "; ")),
        None => line.starts_with("Usage:").then_some(line),
    });
    Some(lines.collect::<Vec<_>>().join(". ")).filter(|hint| !hint.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use pgark_ops::RepoError;

    use super::*;

    #[test]
    fn causes_follow_the_error() {
        let failure = Failure::input("read the passphrase file /x", io::Error::other("no"));
        assert_eq!(failure.chain(), ["read the passphrase file /x", "no"]);
    }

    #[test]
    fn one_kind_of_mistake_has_one_exit_code() {
        let bad = |what| RepoError::BadSecret { what, why: "x".into() };
        let no_name = OpsError::NoName { what: "x".into(), hint: "y".into() };
        let refused = OpsError::Refused { what: "x".into(), hint: "y".into() };
        let nobody = || io::Error::from(io::ErrorKind::NotFound);
        let cases = [
            // What was typed, or is in a file that was named, cannot be right anywhere.
            (Failure::usage("x", "y"), USAGE),
            (Failure::input("read the passphrase file /x", nobody()), USAGE),
            (OpsError::Usage("x".into()).into(), USAGE),
            (no_name.into(), USAGE),
            (OpsError::from(bad("identity file")).into(), USAGE),
            (OpsError::from(bad("recipient")).into(), USAGE),
            (OpsError::from(bad("writer key")).into(), USAGE),
            (OpsError::from(RepoError::WeakPassphrase { why: "x" }).into(), USAGE),
            // It could be, but not for this repository, this server, this host.
            (Failure::refused("x", None), FAILED),
            (Failure::file("write /x", nobody()), FAILED),
            (refused.into(), FAILED),
            (OpsError::from(RepoError::WrongKey).into(), FAILED),
            (OpsError::from(RepoError::SecretForPlainRepository).into(), FAILED),
            (OpsError::from(RepoError::Plugin { what: "identity file", why: "x".into() }).into(), FAILED),
            (OpsError::Cancelled.into(), INTERRUPTED),
        ];
        for (failure, code) in cases {
            assert_eq!(failure.code(), code, "{failure:?}");
            let hinted = Failure::hinted(failure, "another hint".into());
            assert_eq!(hinted.code(), code, "{hinted:?}");
        }
    }

    #[test]
    fn what_clap_says_becomes_error_and_hint() {
        let told = |words: &[&str]| {
            let error = crate::args::Args::command().try_get_matches_from(words).unwrap_err();
            let failure = Failure::from(error);
            assert_eq!((failure.code(), kind(failure.code())), (2, FailureKind::Usage));
            (failure.words(), failure.hint().unwrap_or_default())
        };
        let (error, hint) = told(&["pgark", "list", "--jsn"]);
        assert_eq!(error, "unexpected argument '--jsn' found");
        assert!(hint.starts_with("a similar argument exists: '--json'. Usage: pgark list"), "{hint}");
        let (error, hint) = told(&["pgark", "check", "--level", "deep"]);
        assert!(error.starts_with("invalid value 'deep' for '--level"), "{error}");
        assert!(error.ends_with("[possible values: structure, objects, data]"), "{error}");
        assert_eq!(hint, "");
        let (error, _) = told(&["pgark", "show", "--json"]);
        assert!(error.starts_with("the following required arguments were not provided: "), "{error}");
    }
}
