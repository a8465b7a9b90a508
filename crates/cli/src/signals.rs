//! Ctrl-C and SIGTERM end a job cleanly; a second one ends the program.

use std::thread;

use pgark_ops::Cancel;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::Failure;

/// Sets `cancel` at the first signal.
pub fn cancel_on_signal(cancel: &Cancel) -> Result<(), Failure> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|source| Failure::file("listen for signals", source))?;
    let cancel = cancel.clone();
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
