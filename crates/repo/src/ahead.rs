//! Ranges of packs that are fetched before they are needed, where a network lies between.
//!
//! A few threads take orders and answer each on a channel of its own. They start with the first
//! order and end with the [`Ahead`] that started them: none outlives its reader. An order that
//! nobody waits for any more is skipped. How much is ordered ahead, and so held in memory, is for
//! those who order.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use pgark_store::{Storage, StoreError};

use crate::lock::lock;

/// Ranges that are fetched at once.
const THREADS: usize = 8;

/// A range that was ordered.
struct Order {
    object: String,
    from: u64,
    len: u64,
    reply: SyncSender<Result<Vec<u8>, StoreError>>,
    wanted: Weak<()>,
}

/// A range that will be there.
pub(crate) struct Ordered {
    reply: Receiver<Result<Vec<u8>, StoreError>>,
    _wanted: Arc<()>,
}

impl Ordered {
    /// Waits for it; None if it cannot be had.
    pub(crate) fn wait(self) -> Option<Vec<u8>> {
        match self.reply.recv() {
            Ok(Ok(bytes)) => Some(bytes),
            Ok(Err(error)) => {
                tracing::debug!("{error}");
                None
            }
            Err(_) => None,
        }
    }
}

struct Running {
    orders: Sender<Order>,
    threads: Vec<JoinHandle<()>>,
}

/// Fetches ahead.
pub(crate) struct Ahead {
    store: Storage,
    running: Mutex<Option<Running>>,
}

impl Ahead {
    pub(crate) fn new(store: Storage) -> Ahead {
        Ahead { store, running: Mutex::new(None) }
    }

    /// Orders a range of an object.
    pub(crate) fn order(&self, object: &str, from: u64, len: u64) -> Ordered {
        let (reply, answer) = sync_channel(1);
        let wanted = Arc::new(());
        let order = Order { object: object.to_string(), from, len, reply, wanted: Arc::downgrade(&wanted) };
        let mut running = lock(&self.running);
        let running = running.get_or_insert_with(|| self.start());
        // If it cannot be sent the answer is that nobody answers.
        let _ = running.orders.send(order);
        Ordered { reply: answer, _wanted: wanted }
    }

    fn start(&self) -> Running {
        let (orders, taken) = channel::<Order>();
        let taken = Arc::new(Mutex::new(taken));
        let thread = |_| {
            let (store, taken) = (self.store.clone(), Arc::clone(&taken));
            std::thread::spawn(move || {
                loop {
                    let order = lock(&taken).recv();
                    let Ok(order) = order else { return };
                    if order.wanted.upgrade().is_some() {
                        let _ = order.reply.send(store.get_range(&order.object, order.from, order.len));
                    }
                }
            })
        };
        Running { orders, threads: (0..THREADS).map(thread).collect() }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        let running = lock(&self.running).take();
        if let Some(Running { orders, threads }) = running {
            drop(orders);
            for thread in threads {
                let _ = thread.join();
            }
        }
    }
}
