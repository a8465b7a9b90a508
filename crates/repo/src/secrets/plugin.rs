//! Plugins of age: programs that wrap and unwrap the key of a slot, with a hardware token, say
//! (<https://c2sp.org/age-plugin>).
//!
//! `age1NAME1…` and `AGE-PLUGIN-NAME-1…` are for the program `age-plugin-NAME`, found in the search
//! path. The age crate could start it, too, and would give it this program's whole environment: so
//! it is done here, where a child gets what others get ([`Child::Command`]).

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret;
use age::secrecy::zeroize::{Zeroize, Zeroizing};
use age::{DecryptError, EncryptError, Identity, Recipient};
use age_core::format::{FileKey, Stanza};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use pgark_store::{Child, Storage};

use super::asker;
use crate::lock::lock;

/// As recipients and identities begin that are for a plugin.
const RECIPIENT: &str = "age1";
const IDENTITY: &str = "age-plugin-";
/// A line of base64 in a stanza is full with so many signs; a shorter one is the last.
const FULL: usize = 64;
/// No line that a plugin says is longer, and no stanza larger.
const LONGEST: u64 = 64 << 10;
const LARGEST: usize = 1 << 20;
/// What has not ended so long behind its last word is ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why plugins did not open a slot.
pub(super) type Failures = Arc<Mutex<Vec<String>>>;

/// The name of the plugin that a recipient is for; none: it is age's own.
pub(super) fn of_recipient(text: &str) -> Option<String> {
    let (name, _) = text.rsplit_once('1')?;
    valid(name.strip_prefix(RECIPIENT)?)
}

/// The name of the plugin that an identity is for; none: it is age's own.
pub(super) fn of_identity(text: &str) -> Option<String> {
    let (name, _) = text.rsplit_once('1')?;
    let name = name.to_ascii_lowercase();
    valid(name.strip_prefix(IDENTITY)?.strip_suffix('-')?)
}

/// The name goes into that of a program: no path can come of it.
fn valid(name: &str) -> Option<String> {
    let fits = |sign: char| sign.is_ascii_lowercase() || sign.is_ascii_digit() || "+-._".contains(sign);
    (!name.is_empty() && name.chars().all(fits)).then(|| name.to_string())
}

/// A recipient that a plugin wraps for.
pub(super) struct PluginRecipient {
    pub plugin: String,
    pub recipient: String,
    pub store: Storage,
}

/// An identity that a plugin unwraps with.
pub(super) struct PluginIdentity {
    pub plugin: String,
    pub identity: String,
    pub store: Storage,
    pub failures: Failures,
}

impl Recipient for PluginRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let wrap = || {
            let mut talk = Talk::begin(&self.plugin, "recipient-v1", &self.store)?;
            talk.say("add-recipient", &[&self.recipient], &[])?;
            talk.say("extension-labels", &[], &[])?;
            talk.say("wrap-file-key", &[], file_key.expose_secret())?;
            talk.say("done", &[], &[])?;
            let (mut stanzas, mut labels) = (Vec::new(), HashSet::new());
            talk.listen(&mut |said| match said.tag.as_str() {
                "recipient-stanza"
                    if said.args.len() >= 2 && said.args.first().is_some_and(|to| to == "0") =>
                {
                    let mut args = said.args.split_off(1);
                    stanzas.push(Stanza { tag: args.remove(0), args, body: std::mem::take(&mut said.body) });
                    Answer::Ok
                }
                "labels" => {
                    labels.extend(std::mem::take(&mut said.args));
                    Answer::Ok
                }
                "recipient-stanza" => Answer::Fail,
                _ => Answer::Unsupported,
            })?;
            match stanzas.is_empty() {
                true => Err(talk.failed("it wrapped nothing")),
                false => Ok((stanzas, labels)),
            }
        };
        wrap().map_err(EncryptError::Io)
    }
}

impl Identity for PluginIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        match self.unwrap(stanzas) {
            Ok(key) => key.map(Ok),
            Err(error) => {
                lock(&self.failures).push(error.to_string());
                Some(Err(DecryptError::Io(error)))
            }
        }
    }
}

impl PluginIdentity {
    /// The file's key; none if the plugin has nothing that opens one of these.
    fn unwrap(&self, stanzas: &[Stanza]) -> io::Result<Option<FileKey>> {
        let mut talk = Talk::begin(&self.plugin, "identity-v1", &self.store)?;
        talk.say("add-identity", &[&self.identity], &[])?;
        for stanza in stanzas {
            let args: Vec<&str> =
                ["0", &stanza.tag].into_iter().chain(stanza.args.iter().map(String::as_str)).collect();
            talk.say("recipient-stanza", &args, &stanza.body)?;
        }
        talk.say("done", &[], &[])?;
        let mut key = None;
        talk.listen(&mut |said| {
            if said.tag != "file-key" {
                return Answer::Unsupported;
            }
            let found = FileKey::try_init_with_mut(|key| match said.body.as_slice().try_into() {
                Ok(body) => {
                    *key = body;
                    Ok(())
                }
                Err(_) => Err(()),
            });
            said.body.zeroize();
            match found {
                Ok(found) => {
                    key.get_or_insert(found);
                    Answer::Ok
                }
                Err(()) => Answer::Fail,
            }
        })?;
        Ok(key)
    }
}

/// What a plugin is told about what it said.
enum Answer {
    Ok,
    Fail,
    Unsupported,
}

/// A conversation with a plugin: what it is given, then what it says.
struct Talk {
    program: String,
    child: std::process::Child,
    /// Closed when there is nothing more to say.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    store: Storage,
}

impl Talk {
    fn begin(plugin: &str, machine: &str, store: &Storage) -> io::Result<Talk> {
        let program = format!("age-plugin-{plugin}");
        let cannot = |why: &dyn std::fmt::Display| {
            io::Error::other(format!("the program {program}, which this key needs, cannot be started: {why}"))
        };
        let mut command = Command::new(&program);
        Child::Command.prepare(&mut command);
        let mut child = command
            .arg(format!("--age-plugin={machine}"))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| cannot(&error))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(cannot(&"its input and output cannot be used"));
        };
        Ok(Talk { program, child, input: Some(input), output: BufReader::new(output), store: store.clone() })
    }

    fn failed(&self, what: &str) -> io::Error {
        io::Error::other(format!("{}: {what}", self.program))
    }

    /// Says one stanza.
    fn say(&mut self, tag: &str, args: &[&str], body: &[u8]) -> io::Result<()> {
        let mut text = Zeroizing::new(format!("-> {}\n", [&[tag], args].concat().join(" ")));
        let encoded = Zeroizing::new(BASE64_STANDARD_NO_PAD.encode(body));
        let mut rest = encoded.as_str();
        while let Some((line, more)) = rest.split_at_checked(FULL) {
            text.push_str(line);
            text.push('\n');
            rest = more;
        }
        // The last line is shorter than the others, and may be empty.
        text.push_str(rest);
        text.push('\n');
        let said = match &mut self.input {
            Some(input) => input.write_all(text.as_bytes()).and_then(|()| input.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        said.map_err(|error| self.failed(&format!("it does not read its input: {error}")))
    }

    fn line(&mut self) -> io::Result<Zeroizing<String>> {
        let mut line = Zeroizing::new(String::new());
        let mut bounded = (&mut self.output).take(LONGEST);
        let read = bounded.read_line(&mut line);
        match (read, line.pop()) {
            (Ok(_), Some('\n')) => Ok(line),
            (Ok(_), None) => Err(self.failed("it ended too early")),
            (Ok(_), Some(_)) => Err(self.failed("its output is too long, or incomplete")),
            (Err(error), _) => Err(self.failed(&format!("its output cannot be read: {error}"))),
        }
    }

    /// Hears one stanza.
    fn hear(&mut self) -> io::Result<Stanza> {
        let head = self.line()?;
        let unlike = |talk: &Talk| talk.failed("its output is not a stanza");
        let mut words = head.strip_prefix("-> ").ok_or_else(|| unlike(self))?.split(' ').map(str::to_string);
        let tag = words.next().filter(|tag| !tag.is_empty()).ok_or_else(|| unlike(self))?;
        let args: Vec<String> = words.collect();
        let mut encoded = Zeroizing::new(String::new());
        loop {
            let line = self.line()?;
            encoded.push_str(&line);
            if line.len() > FULL || encoded.len() > LARGEST {
                return Err(unlike(self));
            }
            if line.len() < FULL {
                break;
            }
        }
        let body = BASE64_STANDARD_NO_PAD.decode(encoded.as_bytes()).map_err(|_| unlike(self))?;
        Ok(Stanza { tag, args, body })
    }

    /// Hears everything, and answers. `see` is shown what is not for whoever runs this.
    ///
    /// # Errors
    /// What the plugin says that went wrong.
    fn listen(&mut self, see: &mut dyn FnMut(&mut Stanza) -> Answer) -> io::Result<()> {
        let mut wrong = Vec::new();
        loop {
            let mut said = self.hear()?;
            let text = String::from_utf8_lossy(&said.body).into_owned();
            match said.tag.as_str() {
                "done" => break,
                "msg" => {
                    asker::tell(&self.store, &self.program, &text);
                    self.say("ok", &[], &[])?;
                }
                "error" => {
                    wrong.push(text);
                    self.say("ok", &[], &[])?;
                }
                "confirm" => {
                    let decode = |arg: &String| {
                        let bytes = BASE64_STANDARD_NO_PAD.decode(arg).unwrap_or_default();
                        String::from_utf8_lossy(&bytes).into_owned()
                    };
                    let choices: Vec<String> = said.args.iter().take(2).map(decode).collect();
                    match asker::choose(&self.program, &text, &choices) {
                        Some(true) => self.say("ok", &["yes"], &[])?,
                        Some(false) => self.say("ok", &["no"], &[])?,
                        None => self.say("fail", &[], &[])?,
                    }
                }
                "request-public" | "request-secret" => {
                    match asker::ask(&self.program, &text, said.tag == "request-secret") {
                        Some(answer) => self.say("ok", &[], answer.expose_secret().as_bytes())?,
                        None => self.say("fail", &[], &[])?,
                    }
                }
                _ => match see(&mut said) {
                    Answer::Ok => self.say("ok", &[], &[])?,
                    Answer::Fail => self.say("fail", &[], &[])?,
                    Answer::Unsupported => self.say("unsupported", &[], &[])?,
                },
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(self.failed(&wrong.join("; "))),
        }
    }
}

impl Drop for Talk {
    /// Ends the conversation: the plugin has some time to end, too.
    fn drop(&mut self) {
        self.input.take();
        let since = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if since.elapsed() > PATIENCE {
                // Where that fails it is gone.
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            sleep(Duration::from_millis(10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_plugins_are_read() {
        for (text, plugin) in [
            ("age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t", Some("yubikey")),
            ("age1fido2-hmac1qq", Some("fido2-hmac")),
            ("age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq", None),
            ("age1../../x1qq", None),
            ("ssh-ed25519 AAAA1", None),
            ("age11qq", None),
        ] {
            assert_eq!(of_recipient(text).as_deref(), plugin, "{text}");
        }
        for (text, plugin) in [
            ("AGE-PLUGIN-YUBIKEY-1QQPSYQQQ0C23SY", Some("yubikey")),
            ("age-plugin-se-1qqq", Some("se")),
            ("AGE-SECRET-KEY-1QQQ", None),
            ("AGE-PLUGIN-/BIN/SH-1QQQ", None),
            ("AGE-PLUGIN--1QQQ", None),
        ] {
            assert_eq!(of_identity(text).as_deref(), plugin, "{text}");
        }
    }
}
