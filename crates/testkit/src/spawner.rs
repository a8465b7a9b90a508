//! Starts servers from one thread that lives as long as the process.
//!
//! The kernel's parent-death signal is sent when the *thread* that forked the child ends. Test
//! threads end early, and a cluster kept in a `static` is never dropped; so all servers are forked
//! by this one thread, and SIGQUIT reaches them exactly when the test process is gone, whatever
//! ended it.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` from the long-lived thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, receiver) = channel::<Order>();
        std::thread::Builder::new()
            .name("server-spawner".into())
            .spawn(move || {
                while let Ok((mut command, reply)) = receiver.recv() {
                    // A receiver that has gone away has panicked already.
                    let _ = reply.send(command.spawn());
                }
            })
            .expect("start the spawner thread");
        sender
    });
    let (reply, answer) = channel();
    orders.send((command, reply)).expect("the spawner thread lives");
    answer.recv().expect("the spawner thread answers")
}
