//! Where asynchronous clients run: a small runtime of their own behind the blocking [`crate::Store`].

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::cancel::LOOK;
use crate::{Cancel, StoreError};

/// What a cancelled job may still do to tidy up, each.
const TIDY: Duration = Duration::from_secs(10);

/// A runtime and the flag that ends what runs on it.
#[derive(Debug)]
pub(crate) struct Engine {
    runtime: Option<Runtime>,
    cancel: Cancel,
}

impl Engine {
    pub(crate) fn start(cancel: Cancel) -> io::Result<Engine> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(4)
            .thread_name("storage")
            .enable_all()
            .build()?;
        Ok(Engine { runtime: Some(runtime), cancel })
    }

    /// Runs one operation on the caller's thread. A cancel breaks it off; of a job that is cancelled already, an operation gets a
    /// short time, so that it can tidy up.
    pub(crate) fn run<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().ok_or(StoreError::Cancelled)?;
        let tidying = self.cancel.is_cancelled();
        runtime.block_on(async {
            tokio::select! {
                done = work => done,
                () = self.end(tidying) => Err(StoreError::Cancelled),
            }
        })
    }

    async fn end(&self, tidying: bool) {
        if tidying {
            return tokio::time::sleep(TIDY).await;
        }
        while !self.cancel.is_cancelled() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Idle connections must not hold up the program's end.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
