//! Where the mask key comes from. It is held in memory alone: no backup, log or error has it.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgark_mask::finding::{Code, Finding};
use pgark_mask::key::MaskKey;
use pgark_mask::rules::{KeyEncoding, KeySource, Rules};
use pgark_store::Child;

use crate::command::end;
use crate::{OpsError, hex};

/// A key is no longer.
const LONGEST: u64 = 64 << 10;
/// How long a program may take to print the key.
const PATIENCE: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(20);

/// A key that only this run has.
pub(super) fn of_this_run() -> Result<MaskKey, OpsError> {
    let bytes = pgark_repo::random_bytes::<32>()?.to_vec();
    MaskKey::new(bytes).map_err(|error| OpsError::refused(error.to_string(), ""))
}

/// The key that the rules name.
pub(super) fn fetch(
    rules: &Rules,
    folder: &Path,
    variables: &dyn Fn(&str) -> Option<String>,
) -> Result<MaskKey, Box<Finding>> {
    let fault = |message: String, hint: &str| {
        let finding = Finding::new(Code::KeyUnfit, message).hint(hint);
        Box::new(match &rules.key {
            Some((_, place)) => finding.at(*place),
            None => finding,
        })
    };
    let Some((source, _)) = &rules.key else {
        return Err(fault("the rules name no mask key".into(), "key = { env = \"PGARK_MASK_KEY\" }"));
    };
    let (bytes, encoding) = match source {
        KeySource::Ephemeral => return of_this_run().map_err(|error| fault(error.to_string(), "")),
        KeySource::Environment { name, encoding } => {
            let value = variables(name).filter(|value| !value.is_empty());
            let missing = || {
                fault(
                    format!("the variable {name}, which holds the mask key, is not set"),
                    "export it, or name a file",
                )
            };
            (value.ok_or_else(missing)?.into_bytes(), encoding)
        }
        KeySource::File { path, encoding } => {
            let path = folder.join(path);
            let bytes = read_file(&path)
                .map_err(|error| fault(format!("read the mask key from {}: {error}", path.display()), ""))?;
            (bytes, encoding)
        }
        KeySource::Command { command, encoding } => {
            let bytes = run(command).map_err(|why| {
                fault(format!("run {}, which prints the mask key: {why}", command.join(" ")), "")
            })?;
            (bytes, encoding)
        }
    };
    let bytes = decode(bytes, *encoding).map_err(|what| fault(format!("the mask key is not {what}"), ""))?;
    MaskKey::new(bytes).map_err(|error| fault(error.to_string(), "openssl rand -hex 32 makes one"))
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What a program prints. It gets no secrets of ours, and nothing of it is left when its time is
/// over.
fn run(command: &[String]) -> Result<Vec<u8>, String> {
    let (program, arguments) = command.split_first().ok_or("no program is named")?;
    let mut command = Command::new(program);
    Child::Command.prepare(&mut command);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let output = child.stdout.take();
    let started = Instant::now();
    thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut bytes = Vec::new();
            let read = output.map_or(Ok(0), |output| output.take(LONGEST).read_to_end(&mut bytes));
            read.map(|_| bytes)
        });
        // Its children may hold its output longer than it lives, and it may live on without.
        let mut has_ended = || reader.is_finished() && !matches!(child.try_wait(), Ok(None));
        while !has_ended() && started.elapsed() < PATIENCE {
            thread::sleep(TICK);
        }
        let is_late = !has_ended();
        if is_late {
            end(&mut child);
        }
        let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let status = child.wait().map_err(|error| error.to_string())?;
        match (is_late, status.success()) {
            (true, _) => Err(format!("it did not end within {} s", PATIENCE.as_secs())),
            (false, false) => Err(format!("it ended with {status}")),
            (false, true) => read.map_err(|error| error.to_string()),
        }
    })
}

/// The key's bytes. A newline at the end is an editor's, or the program's.
fn decode(mut bytes: Vec<u8>, encoding: KeyEncoding) -> Result<Vec<u8>, &'static str> {
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    let text = || std::str::from_utf8(&bytes).map(str::trim);
    match encoding {
        KeyEncoding::Plain => Ok(bytes),
        KeyEncoding::Hex => text()
            .ok()
            .and_then(|text| hex::decode(text.to_ascii_lowercase().as_bytes()))
            .ok_or("hexadecimal text"),
        KeyEncoding::Base64 => text().ok().and_then(|text| STANDARD.decode(text).ok()).ok_or("base64 text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
        let (rules, _) = Rules::parse(format!("version = 1\nkey = {key}\n").as_bytes(), variables);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "0123456789abcdef\r\n").unwrap();
        let fetched = fetch(&rules, folder.path(), variables);
        fetched.map(|key| key.fingerprint()).map_err(|finding| finding.message)
    }

    #[test]
    fn a_key_is_the_same_wherever_it_comes_from() {
        let variables = |name: &str| match name {
            "KEY" => Some("0123456789abcdef".to_string()),
            "HEX" => Some("30313233343536373839616263646566".to_string()),
            "BASE64" => Some("MDEyMzQ1Njc4OWFiY2RlZg==".to_string()),
            _ => None,
        };
        let expected = MaskKey::new(b"0123456789abcdef".to_vec()).unwrap().fingerprint();
        for key in [
            "{ env = \"KEY\" }",
            "{ env = \"HEX\", encoding = \"hex\" }",
            "{ env = \"BASE64\", encoding = \"base64\" }",
            "{ file = \"key\" }",
            "{ command = [\"echo\", \"0123456789abcdef\"] }",
        ] {
            assert_eq!(of(key, &variables).as_ref(), Ok(&expected), "{key}");
        }
        assert_ne!(of("\"ephemeral\"", &variables), of("\"ephemeral\"", &variables));
    }

    #[test]
    fn a_key_that_cannot_be_had_says_why() {
        let variables = |name: &str| (name == "SHORT").then(|| "short".to_string());
        for (key, why) in [
            ("{ env = \"NONE\" }", "NONE"),
            ("{ env = \"SHORT\" }", "has 5 bytes"),
            ("{ file = \"none\" }", "No such file"),
            ("{ file = \"key\", encoding = \"hex\" }", "has 8 bytes"),
            ("{ env = \"SHORT\", encoding = \"hex\" }", "not hexadecimal"),
            ("{ command = [\"false\"] }", "it ended with"),
            ("{ command = [\"/no/such/program\"] }", "No such file"),
        ] {
            let said = of(key, &variables).unwrap_err();
            assert!(said.contains(why) && !said.contains("short"), "{key}: {said}");
        }
    }
}
