//! Questions on the terminal.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use pgark_ops::{Asker, OpsError, SecretString};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::Failure;
use crate::signals;
use crate::visible::visible_lines;

/// Whether someone can be asked.
pub fn is_there() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Shows a question and reads a line. A signal ends the waiting.
pub fn ask(question: &str, hidden: bool) -> Result<String, Failure> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} ", visible_lines(question)).and_then(|()| stderr.flush()).map_err(Failure::output)?;
    drop(stderr);
    let _echo = hidden.then(Echo::hide);
    let (tell, told) = mpsc::channel();
    // It may wait until the program ends.
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        // Nobody waits any more: the program ends.
        let _ = tell.send(read.map(|_| line));
    });
    loop {
        match told.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => return line.map_err(|source| Failure::file("read the answer", source)),
            Err(RecvTimeoutError::Disconnected) => return Ok(String::new()),
            Err(RecvTimeoutError::Timeout) if signals::cancel().is_cancelled() => {
                return Err(OpsError::Cancelled.into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// While it lives the terminal does not show what is typed.
struct Echo(Option<Termios>);

impl Echo {
    fn hide() -> Echo {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(before) = &before {
            let mut hidden = before.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            hidden.local_modes.insert(LocalModes::ECHONL);
            // A terminal that cannot do it shows what is typed.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &hidden);
        }
        Echo(before)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Answers what plugins of age ask, if there is a terminal.
pub struct Person;

impl Asker for Person {
    fn tell(&self, program: &str, text: &str) {
        tracing::warn!("{program}: {text}");
    }

    fn ask(&self, program: &str, question: &str, hidden: bool) -> Option<SecretString> {
        let answer = is_there().then(|| ask(&format!("{program}: {question}"), hidden))?.ok()?;
        Some(SecretString::from(answer.trim_end_matches(['\n', '\r']).to_string()))
    }

    fn choose(&self, program: &str, question: &str, words: &[String]) -> Option<bool> {
        let choices = words.join("/");
        let answer = is_there().then(|| ask(&format!("{program}: {question} [{choices}]"), false))?.ok()?;
        let answer = answer.trim();
        let at = words.iter().position(|word| word.eq_ignore_ascii_case(answer))?;
        Some(at == 0)
    }
}
