//! A psql session that stays open: transactions and locks that last while a backup runs.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::{Cluster, PATIENCE};

/// An open connection to one database. Dropping it ends the connection, which rolls its transaction
/// back.
#[derive(Debug)]
pub struct Session {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    sent: u32,
    rows: Vec<String>,
}

impl Cluster {
    /// Opens a session as superuser.
    pub fn session(&self, db: &str) -> Session {
        let mut command = self.client("psql");
        command.env("PGDATABASE", db).args(["-X", "-q", "-A", "-t", "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("run psql");
        let input = child.stdin.take().expect("psql's input");
        let output = BufReader::new(child.stdout.take().expect("psql's output"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Session { child, input, lines, sent: 0, rows: Vec::new() }
    }
}

impl Session {
    /// Runs SQL and waits for it; gives the rows as [`Cluster::psql_text`] does. Errors go to
    /// standard error.
    ///
    /// # Panics
    /// If no answer ever comes.
    pub fn run(&mut self, sql: &str) -> String {
        self.send(sql);
        self.finish(PATIENCE).expect("psql answers")
    }

    /// Sends SQL, which may block, without waiting. Call [`Session::finish`] before the next.
    pub fn send(&mut self, sql: &str) {
        self.sent += 1;
        let mark = mark(self.sent);
        writeln!(self.input, "{sql}\n;\\echo {mark}")
            .and_then(|()| self.input.flush())
            .expect("write to psql");
    }

    /// Waits for what was sent last; `None` if it still runs after `patience`.
    pub fn finish(&mut self, patience: Duration) -> Option<String> {
        let mark = mark(self.sent);
        loop {
            match self.lines.recv_timeout(patience) {
                Ok(line) if line == mark => return Some(std::mem::take(&mut self.rows).join("\n")),
                Ok(line) => self.rows.push(line),
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("the session ended: {:?}", self.rows),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mark(number: u32) -> String {
    format!("== end of {number} ==")
}
