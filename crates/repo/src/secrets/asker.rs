//! Questions that a plugin of age asks of whoever runs the program: a PIN, a touch of a token.
//!
//! The library has no terminal; whoever runs it says once who answers. Without that nobody is asked
//! and the plugin is told so.

use std::sync::OnceLock;

use age::secrecy::SecretString;
use pgark_store::Storage;

static ASKER: OnceLock<Box<dyn Asker>> = OnceLock::new();

/// Answers for whoever runs the program.
pub trait Asker: Send + Sync {
    /// Shows what a program says.
    fn tell(&self, program: &str, text: &str);
    /// Asks for a line; `hidden`: it is a secret. None: there is nobody to ask, or no answer.
    fn ask(&self, program: &str, question: &str, hidden: bool) -> Option<SecretString>;
    /// Asks for a choice: true for the first of these words, false for the second if there is one.
    fn choose(&self, program: &str, question: &str, words: &[String]) -> Option<bool>;
}

/// Says who answers. Only the first call counts.
pub fn asker_is(asker: Box<dyn Asker>) {
    let _ = ASKER.set(asker);
}

pub(super) fn tell(store: &Storage, program: &str, text: &str) {
    match ASKER.get() {
        Some(asker) => asker.tell(program, text),
        None => store.warn(&format!("{program}: {text}")),
    }
}

pub(super) fn ask(program: &str, question: &str, hidden: bool) -> Option<SecretString> {
    ASKER.get()?.ask(program, question, hidden)
}

pub(super) fn choose(program: &str, question: &str, words: &[String]) -> Option<bool> {
    ASKER.get()?.choose(program, question, words)
}
