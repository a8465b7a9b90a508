//! Commands of an operator: what a hook runs.
//!
//! A command is run by `/bin/sh -c` in a process group of its own, and what it says goes to the
//! job's log, line by line. It is over when the shell has ended and nobody holds its output any
//! more. A cancel or the end of its time ends the whole group: it is asked to end, and killed if it
//! does not.

use std::io::{self, ErrorKind, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pgark_pg::ConnInfo;
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::tools::only_connection_environment;
use crate::{OpsError, Progress};

/// Between two looks at the command.
const TICK: Duration = Duration::from_millis(20);
/// How long a command may take to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many pieces of output are read before the next look at the clock.
const AT_ONCE: usize = 64;
/// A line is told in pieces that are no longer.
const LONGEST_LINE: usize = 8 << 10;
/// So much of its last words is told in an error.
const LAST_WORDS: usize = 4 << 10;
/// A variable is no longer: the system bounds them all together.
const LONGEST_VARIABLE: usize = 16 << 10;

/// One command.
pub(crate) struct UserCommand<'a> {
    /// What it is, for messages: `the hook after-data`.
    pub what: String,
    /// What the shell runs.
    pub shell: &'a str,
    /// The server that its environment names.
    pub conninfo: &'a ConnInfo,
    /// What it is told in addition.
    pub variables: &'a [(&'static str, String)],
    /// How long it may take.
    pub limit: Option<Duration>,
}

impl UserCommand<'_> {
    /// Runs it to its end.
    ///
    /// # Errors
    /// It cannot be started, fails, or takes too long; [`OpsError::Cancelled`].
    pub(crate) fn run(
        &self,
        progress: &dyn Progress,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<(), OpsError> {
        let started = Instant::now();
        let (mut child, pipe) = self.start().map_err(|source| self.failed(source.to_string()))?;
        let mut output = Output { pipe, is_open: true, line: Vec::new(), last: String::new() };
        let mut status = None;
        let ended = loop {
            let looked = output.read(&mut |line| progress.info(&format!("{}: {line}", self.what)));
            let looked = looked.and_then(|()| match status {
                None => child.try_wait(),
                ended => Ok(ended),
            });
            match looked {
                Ok(Some(status)) if !output.is_open => break Ok(status),
                Ok(found) => status = found,
                Err(source) => break Err(self.failed(source.to_string())),
            }
            if is_cancelled() {
                break Err(OpsError::Cancelled);
            }
            if let Some(limit) = self.limit.filter(|limit| started.elapsed() >= *limit) {
                break Err(self.failed(format!("it did not end within {limit:?}, and was stopped")));
            }
            thread::sleep(TICK);
        };
        match ended {
            Ok(status) => self.judge(status, output.last.trim()),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    fn start(&self) -> io::Result<(Child, PipeReader)> {
        let (pipe, output) = io::pipe()?;
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(self.shell);
        only_connection_environment(&mut command, pgark_store::Child::Command, self.conninfo);
        command.envs(self.variables.iter().map(|(name, value)| (name, variable(value))));
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        // Our own ends of the pipe go with `command`.
        command.spawn().map(|child| (child, pipe))
    }

    fn judge(&self, status: ExitStatus, said: &str) -> Result<(), OpsError> {
        match (status.success(), said) {
            (true, _) => Ok(()),
            (false, "") => Err(self.failed(format!("it ended with {status}"))),
            (false, said) => Err(self.failed(format!("it ended with {status}: {said}"))),
        }
    }

    fn failed(&self, what: String) -> OpsError {
        OpsError::Tool { program: self.what.clone(), what }
    }
}

/// A value that the system takes.
fn variable(value: &str) -> String {
    let mut end = value.len().min(LONGEST_VARIABLE);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.get(..end).unwrap_or_default().replace('\0', "\u{fffd}")
}

/// Ends what is left of a command's group, and reaps the shell.
pub(crate) fn end(child: &mut Child) {
    let group = Pid::from_child(child);
    // It may be gone already; either way it is reaped.
    let _ = kill_process_group(group, Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < PATIENCE && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(TICK);
    }
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait();
}

/// What a command says.
struct Output {
    pipe: PipeReader,
    /// Someone can still write.
    is_open: bool,
    /// The beginning of a line.
    line: Vec<u8>,
    last: String,
}

impl Output {
    /// Reads what is there, and tells every line of it.
    fn read(&mut self, tell: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut piece = [0; 4096];
        for _ in 0..AT_ONCE {
            match self.pipe.read(&mut piece) {
                Ok(0) => {
                    self.is_open = false;
                    self.end_line(tell);
                    return Ok(());
                }
                Ok(count) => {
                    for byte in piece.iter().take(count) {
                        match byte {
                            b'\n' => self.end_line(tell),
                            byte => self.line.push(*byte),
                        }
                        if self.line.len() >= LONGEST_LINE {
                            self.end_line(tell);
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn end_line(&mut self, tell: &mut dyn FnMut(&str)) {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        tell(line);
        self.last.push_str(line);
        self.last.push('\n');
        while self.last.len() > LAST_WORDS {
            let first = self.last.find('\n').map_or(self.last.len(), |end| end + 1);
            self.last.drain(..first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pgark_pg::Environment;

    use super::*;

    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl Progress for Log {
        fn phase(&self, _: &str) {}
        fn total_bytes(&self, _: u64) {}
        fn advance(&self, _: u64) {}
        fn counted(&self, _: &str, _: u64, _: u64) {}
        fn object_started(&self, _: &str) {}
        fn object_done(&self, _: &str) {}
        fn warn(&self, _: &str) {}
        fn info(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_string());
        }
        fn detail(&self, _: &str) {}
    }

    fn run(
        shell: &str,
        limit: Option<u64>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> (Result<(), String>, Vec<String>) {
        let conninfo = ConnInfo::resolve("host=/nowhere dbname=d", &Environment::default()).unwrap();
        let log = Log::default();
        let limit = limit.map(Duration::from_millis);
        let variables = [("PGARK_ERROR", "with \0 zero".to_string())];
        let command = UserCommand {
            what: "the hook x".into(),
            shell,
            conninfo: &conninfo,
            variables: &variables,
            limit,
        };
        let result = command.run(&log, is_cancelled).map_err(|error| error.to_string());
        (result, log.0.into_inner().unwrap())
    }

    #[test]
    fn what_a_command_says_is_told_and_its_end_judged() {
        let never = || false;
        let (result, told) = run("echo one; echo two >&2; echo \"$PGARK_ERROR\"; printf three", None, &never);
        assert_eq!(result, Ok(()));
        assert_eq!(
            told,
            ["one", "two", "with \u{fffd} zero", "three"].map(|line| format!("the hook x: {line}"))
        );
        let (result, _) = run("echo why; exit 7", None, &never);
        assert_eq!(result.unwrap_err(), "run the hook x: it ended with exit status: 7: why");
        let (result, told) = run("yes | head -c 3000000 | tr -d '\\n'; exit 1", None, &never);
        assert!(result.unwrap_err().len() < 2 * LONGEST_LINE && told.len() > 100);
    }

    #[test]
    fn a_command_that_takes_too_long_ends_with_its_children() {
        let began = Instant::now();
        // The shell is gone at once, its child holds the output; one that does not hear.
        for shell in ["sleep 60 & exit 0", "trap '' TERM; sleep 60; sleep 60"] {
            let (result, _) = run(shell, Some(300), &|| false);
            assert!(result.unwrap_err().contains("did not end within 300ms"), "{shell}");
        }
        let looks = AtomicUsize::new(0);
        let (result, _) = run("sleep 60", None, &|| looks.fetch_add(1, Ordering::Relaxed) > 5);
        assert_eq!(result.unwrap_err(), "interrupted");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}
