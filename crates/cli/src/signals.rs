//! Ctrl-C and SIGTERM end a job cleanly; a second one ends the program.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use pgark_ops::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::Failure;

/// The cancel of this process: what it does is one job, from opening the storage on.
pub fn cancel() -> Cancel {
    static CANCEL: OnceLock<Cancel> = OnceLock::new();
    CANCEL.get_or_init(Cancel::new).clone()
}

/// Sets [`cancel`] at the first signal; called once by each command that can end cleanly.
pub fn cancel_on_signal() -> Result<(), Failure> {
    static LISTENS: AtomicBool = AtomicBool::new(false);
    if LISTENS.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let cancel = cancel();
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|source| Failure::file("listen for signals", source))?;
    // Lives as long as the program: signals may come until its end.
    thread::spawn(move || {
        for _ in signals.forever() {
            if cancel.is_cancelled() {
                signal_hook::low_level::exit(130);
            }
            cancel.cancel();
        }
    });
    Ok(())
}
