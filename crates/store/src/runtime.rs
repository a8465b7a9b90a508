//! Where asynchronous clients run: a small runtime of their own behind the blocking
//! [`crate::Store`].
//!
//! A request is polled on the thread that asks, and only its timers, sockets and tasks live on the
//! runtime's threads. `Runtime::block_on` would panic where that thread already drives asynchronous
//! tasks; this waits there like anywhere else. It keeps that worker from its other tasks meanwhile,
//! which is why the crate's head asks for `spawn_blocking`.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

use tokio::runtime::{Builder, Runtime};

use crate::cancel::{LOOK, TIDY};
use crate::{Cancel, StoreError};

/// A runtime for the clients of one storage.
#[derive(Debug)]
pub(crate) struct Engine {
    runtime: Option<Runtime>,
}

/// Wakes the thread that waits for a request.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Engine {
    pub(crate) fn start() -> io::Result<Engine> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(4)
            .thread_name("storage")
            .enable_all()
            .build()?;
        Ok(Engine { runtime: Some(runtime) })
    }

    /// Runs one request on the caller's thread. The job's cancel breaks it off; a job that is
    /// cancelled already gets a short time for it, so that it can tidy up.
    pub(crate) fn run<T>(
        &self,
        cancel: &Cancel,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime.as_ref().ok_or(StoreError::Cancelled)?;
        let tidied_by = cancel.is_cancelled().then(|| Instant::now() + TIDY);
        let is_over = || match tidied_by {
            Some(until) => Instant::now() >= until,
            None => cancel.is_cancelled(),
        };
        // Entered first and left last: what the request drops may need the runtime.
        let _entered = runtime.enter();
        // Within another runtime's task that task's share of polls must not run out: nobody would
        // refill it before this returns.
        let mut work = pin!(tokio::task::unconstrained(work));
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
                return done;
            }
            // A wake that comes before this is not lost: it makes the next wait return at once.
            thread::park_timeout(LOOK);
            if is_over() {
                return Err(StoreError::Cancelled);
            }
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Sleeps and takes turns with tasks of the engine, more often than one poll of a task allows.
    fn ask(engine: &Engine) -> usize {
        let work = async {
            let mut heard = 0;
            for _ in 0..500 {
                let (tell, told) = tokio::sync::oneshot::channel();
                tokio::spawn(async move { tell.send(1) });
                heard += told.await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(heard)
        };
        engine.run(&Cancel::new(), work).unwrap()
    }

    #[test]
    fn asynchronous_workers_can_ask_too() {
        let engine = Arc::new(Engine::start().unwrap());
        for mut builder in [Builder::new_current_thread(), Builder::new_multi_thread()] {
            let runtime = builder.enable_all().build().unwrap();
            // On the thread that drives the runtime, in a task of it, and as the rule says.
            assert_eq!(runtime.block_on(async { ask(&engine) }), 500);
            let (in_task, apart) = (Arc::clone(&engine), Arc::clone(&engine));
            let task = async {
                let task = tokio::spawn(async move { ask(&in_task) });
                let blocking = tokio::task::spawn_blocking(move || ask(&apart));
                (task.await.unwrap(), blocking.await.unwrap())
            };
            assert_eq!(runtime.block_on(task), (500, 500));
        }
        // Nor does the last handle's end need a thread that may block.
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move { drop(engine) });
    }

    #[test]
    fn a_cancel_ends_its_own_request_alone() {
        let engine = Engine::start().unwrap();
        let (one, other) = (Cancel::new(), Cancel::new());
        thread::scope(|scope| {
            let hanging = scope.spawn(|| engine.run::<()>(&one, std::future::pending()));
            let (tell, told) = tokio::sync::oneshot::channel();
            let working = scope.spawn(|| engine.run(&other, async { Ok(told.await.unwrap()) }));
            one.cancel();
            assert!(matches!(hanging.join().unwrap(), Err(StoreError::Cancelled)));
            tell.send(7).unwrap();
            assert_eq!(working.join().unwrap().unwrap(), 7);
        });
        // To tidy up.
        assert_eq!(engine.run(&one, async { Ok(7) }).unwrap(), 7);
    }
}
