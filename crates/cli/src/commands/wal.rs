//! `pgark wal`: what a server runs as its archive commands, and what people ask about archived WAL.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use pgark_ops::wal::check::{Depth, Report};
use pgark_ops::wal::fetch::{Mode, Outcome};
use pgark_ops::wal::{adopt, ahead, check, fetch, push};
use pgark_ops::{WalAhead, WalPushed};

use crate::args::{Wal, WalAction, WalAdopt, WalFetch, WalPush, options_behind_command};
use crate::context::Context;
use crate::environment::{default_jobs, local_folders};
use crate::error::{Answers, Failure};
use crate::json::Document;
use crate::output::{self, Align};
use crate::{progress, repository};

use super::wal_receive;

/// A server takes this for "there is no such file".
const ABSENT: u8 = 1;

/// How a server understands the exit code, if one has started the program with these words. The
/// command line itself may be wrong: so it is not parsed for this.
pub fn answers(words: &[OsString]) -> Option<Answers> {
    let ordered = options_behind_command(words.to_vec());
    let first = ordered.get(1)?;
    // In front of the command may be options, and some that are wrong.
    if first != "wal" && !first.as_encoded_bytes().starts_with(b"-") {
        return None;
    }
    let mut rest = ordered.iter().skip_while(|word| *word != "wal").skip(1);
    let action = rest.find(|word| *word == "push" || *word == "fetch")?;
    if action == "push" {
        return Some(Answers::Archiving);
    }
    let pgdata = words.iter().skip_while(|word| *word != "--pgdata").nth(1);
    let glued = words.iter().find_map(|word| word.to_str()?.strip_prefix("--pgdata=").map(OsString::from));
    let data_directory = glued.as_ref().or(pgdata).map_or(".".as_ref(), std::path::Path::new);
    Some(match Mode::of(data_directory) {
        Mode::Recovery => Answers::Recovering,
        Mode::Standby => Answers::Standby,
    })
}

pub fn run(context: &Context, args: Wal) -> Result<ExitCode, Failure> {
    match args.action {
        WalAction::Push(args) => archive(context, &args),
        WalAction::Receive(args) => wal_receive::run(context, *args),
        WalAction::Fetch(args) => give_back(context, &args),
        WalAction::List(args) => {
            let request = check::Request { cluster: args.cluster, depth: Depth::Names, jobs: 1 };
            let report = look(context, &args.repository, &request)?;
            match args.json {
                true => output::json(&Document::WalList(&report))?,
                false => show(&report)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        WalAction::Check(args) => {
            let request = check::Request {
                cluster: args.cluster,
                depth: if args.read_data { Depth::Data } else { Depth::Headers },
                jobs: args.jobs.map_or_else(default_jobs, usize::from),
            };
            let report = look(context, &args.repository, &request)?;
            match args.json {
                true => output::json(&Document::WalCheck(&report))?,
                false => show(&report)?,
            }
            for problem in &report.problems {
                tracing::error!("{problem}");
            }
            if report.ok && !args.json {
                output::line("no problem")?;
            }
            Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        WalAction::Adopt(args) => adopted(context, &args),
    }
}

fn archive(context: &Context, args: &WalPush) -> Result<ExitCode, Failure> {
    let place = repository::named(context, &args.repository)?;
    let archive = format!("{place}\0{}", args.cluster.as_deref().unwrap_or_default());
    let notes = WalPushed::of(&local_folders(false), &archive);
    let Some(file) = push::read(&args.path, &notes)? else { return Ok(ExitCode::SUCCESS) };
    let request = push::Request {
        path: args.path.clone(),
        file,
        cluster: args.cluster.clone(),
        batch: usize::from(args.batch),
        jobs: usize::from(args.jobs),
        compression_level: args.compression_level,
        timeout: args.timeout,
    };
    let repository = repository::open(context, &args.repository)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        push::run(&repository, &request, &notes, &job)?
    };
    let also = match report.also.len() {
        0 => String::new(),
        more => format!(", and {} that waited", output::number_of(more as u64, "file")),
    };
    match report.bytes_stored {
        Some(stored) => tracing::info!(
            "{} of cluster {} is archived: {} in {}{also}",
            report.file,
            report.cluster,
            output::bytes(report.bytes),
            output::bytes(stored)
        ),
        None => tracing::info!("{} of cluster {} was archived before{also}", report.file, report.cluster),
    }
    Ok(ExitCode::SUCCESS)
}

fn give_back(context: &Context, args: &WalFetch) -> Result<ExitCode, Failure> {
    let request = fetch::Request {
        file: args.file.clone(),
        to: args.path.clone(),
        data_directory: args.pgdata.clone(),
        cluster: args.cluster.clone(),
        up_to: args.up_to.clone(),
        with_partial: args.with_partial,
        timeout: args.timeout,
    };
    let prefetch = usize::from(args.prefetch);
    // Without a data directory, the fetch itself says what is wrong.
    let ahead = match prefetch {
        0 => None,
        _ => ahead::of(&request, &repository::named(context, &args.repository)?).ok(),
    };
    if args.only_ahead {
        let Some(ahead) = ahead else { return Ok(ExitCode::SUCCESS) };
        let repository = repository::open(context, &args.repository)?;
        let job = progress::watched_job(&context.common)?;
        ahead::fill(&repository, &ahead, &request, prefetch, &job)?;
        return Ok(ExitCode::SUCCESS);
    }
    let taken = ahead.as_ref().map(|ahead| ahead::take(ahead, &request)).transpose()?.flatten();
    let outcome = match taken {
        Some(bytes) => Outcome::Fetched { bytes },
        None => {
            let repository = repository::open(context, &args.repository)?;
            let job = progress::watched_job(&context.common)?;
            fetch::run(&repository, &request, &job)?
        }
    };
    match outcome {
        Outcome::Fetched { bytes } => {
            if ahead.is_some_and(|ahead| ahead::is_wanted(&ahead, &request, prefetch)) {
                start_ahead();
            }
            let how = if taken.is_some() { ", fetched ahead" } else { "" };
            let (to, bytes) = (args.path.display(), output::bytes(bytes));
            tracing::info!("{} is in {to}: {bytes}{how}", args.file);
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Absent => {
            // The server is at the end, or has come by what it needs.
            ahead.iter().filter(|_| !args.file.ends_with(".history")).for_each(WalAhead::clear);
            tracing::info!("{} is not in the repository, and nothing that comes after it", args.file);
            Ok(ExitCode::from(ABSENT))
        }
    }
}

/// Starts this very command again, in the background and in a group of its own: the server waits
/// for this process alone. What it cannot do is done by the call that needs it.
fn start_ahead() {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let started = std::env::current_exe().and_then(|program| {
        let mut command = Command::new(program);
        command.args(words).arg("--only-ahead").process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    });
    if let Err(error) = started {
        tracing::debug!("nothing is fetched ahead: {error}");
    }
}

fn look(
    context: &Context,
    options: &crate::args::Repository,
    request: &check::Request,
) -> Result<Report, Failure> {
    let repository = repository::open(context, options)?;
    let job = progress::watched_job(&context.common)?;
    Ok(check::run(&repository, request, &job)?)
}

fn show(report: &Report) -> Result<(), Failure> {
    output::line(&format!("cluster {}, system identifier {}", report.cluster, report.system_identifier))?;
    output::line("")?;
    let said = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let rows: Vec<Vec<String>> = report
        .timelines
        .iter()
        .map(|timeline| {
            let missing: u64 = timeline.gaps.iter().map(|gap| gap.segments).sum();
            vec![
                timeline.timeline.to_string(),
                timeline.parent.map_or_else(|| "-".into(), |parent| parent.to_string()),
                said(&timeline.fork_lsn),
                said(&timeline.from_lsn),
                said(&timeline.to_lsn),
                output::count(timeline.segments),
                output::count(missing),
                output::bytes(timeline.bytes_stored),
            ]
        })
        .collect();
    let columns = [
        ("TIMELINE", Align::Right),
        ("PARENT", Align::Right),
        ("FORK", Align::Left),
        ("FROM", Align::Left),
        ("TO", Align::Left),
        ("SEGMENTS", Align::Right),
        ("MISSING", Align::Right),
        ("STORED", Align::Right),
    ];
    output::table(&columns, &rows)?;
    for gap in report.timelines.iter().flat_map(|timeline| &timeline.gaps) {
        let accepted = if gap.accepted { ", accepted when it was received" } else { "" };
        output::line(&match gap.segments {
            1 => format!("missing: {}{accepted}", gap.from),
            segments => format!("missing: {} to {} ({segments} segments){accepted}", gap.from, gap.to),
        })?;
    }
    for unfinished in report.timelines.iter().filter_map(|timeline| timeline.unfinished.as_ref()) {
        let pieces = output::number_of(unfinished.pieces, "piece");
        let bytes = output::bytes(unfinished.bytes);
        output::line(&format!("not full yet: {}, {bytes} of it in {pieces}", unfinished.segment))?;
    }
    if report.backups.is_empty() {
        return Ok(());
    }
    output::line("")?;
    let rows: Vec<Vec<String>> = report
        .backups
        .iter()
        .map(|backup| {
            vec![
                backup.id.clone(),
                backup.timeline.to_string(),
                backup.restorable_from.clone(),
                said(&backup.restorable_to),
            ]
        })
        .collect();
    let columns = [
        ("BACKUP", Align::Left),
        ("TIMELINE", Align::Right),
        ("RECOVERABLE FROM", Align::Left),
        ("TO", Align::Left),
    ];
    output::table(&columns, &rows)
}

fn adopted(context: &Context, args: &WalAdopt) -> Result<ExitCode, Failure> {
    let Some(cluster) = &args.cluster else {
        return Err(Failure::usage("no cluster is named", "say with --cluster whose WAL it is"));
    };
    let repository = repository::open(context, &args.repository)?;
    let report = {
        let job = progress::watched_job(&context.common)?;
        adopt::run(&repository, cluster, args.system_identifier, &job)?
    };
    if args.json {
        output::json(&Document::WalAdopted(&report))?;
    }
    let before = match report.before.as_slice() {
        [] => String::new(),
        before => format!("; what was archived of {} stays", before.join(", ")),
    };
    tracing::info!(
        "cluster {} has the WAL of the system {} from now on{before}",
        report.cluster,
        report.system_identifier
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_command() {
        let of = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            answers(&words).is_some()
        };
        for line in [
            "pgark wal push pg_wal/x",
            "pgark --repo /b wal fetch x y",
            "pgark --no-such-option wal fetch x y",
            "pgark wal --wrong push x",
            "pgark wal fetch",
        ] {
            assert!(of(line), "{line}");
        }
        for line in [
            "pgark",
            "pgark wal list",
            "pgark backup --physical --label wal --tag push",
            "pgark --repo wal restore push",
            "pgark wal",
        ] {
            assert!(!of(line), "{line}");
        }
    }
}
