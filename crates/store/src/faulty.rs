//! A storage that fails on purpose, for tests of everything above it.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use bytes::Bytes;

use crate::{Cancel, Capabilities, ObjectMeta, PutOutcome, Store, StoreError, lock};

/// The calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `put_if_absent`.
    Put,
    /// `get` and `get_range`.
    Get,
    /// `list`.
    List,
    /// `delete`.
    Delete,
}

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This call and all later ones of its kind fail: the storage, or this process, is gone.
    GoneFrom(usize),
    /// This one call fails, before it did anything.
    FailsAt(usize),
    /// This one call does its work and then reports a failure (an answer was lost).
    LosesAnswerAt(usize),
    /// This one get answers with a flipped bit.
    FlipsAt(usize),
    /// Nothing is left on the storage from this put on.
    FullFrom(usize),
}

/// Wraps a storage and follows a plan: calls of one operation are counted from 0.
pub struct Faulty<S> {
    inner: S,
    operation: Operation,
    fault: Fault,
    calls: Mutex<usize>,
}

enum Verdict {
    Pass,
    Fail,
    Full,
    WorkAndFail,
    Flip,
}

impl<S: Store> Faulty<S> {
    /// A storage with one planned fault.
    pub fn new(inner: S, operation: Operation, fault: Fault) -> Faulty<S> {
        Faulty { inner, operation, fault, calls: Mutex::new(0) }
    }

    /// How often the operation was called.
    pub fn calls(&self) -> usize {
        *lock(&self.calls)
    }

    fn verdict(&self, operation: Operation) -> Verdict {
        if operation != self.operation {
            return Verdict::Pass;
        }
        let mut calls = lock(&self.calls);
        let now = *calls;
        *calls += 1;
        match self.fault {
            Fault::GoneFrom(from) if now >= from => Verdict::Fail,
            Fault::FullFrom(from) if now >= from => Verdict::Full,
            Fault::FailsAt(at) if now == at => Verdict::Fail,
            Fault::LosesAnswerAt(at) if now == at => Verdict::WorkAndFail,
            Fault::FlipsAt(at) if now == at => Verdict::Flip,
            _ => Verdict::Pass,
        }
    }

    fn around<T>(
        &self,
        operation: Operation,
        object: &str,
        work: impl FnOnce() -> Result<T, StoreError>,
        flip: impl FnOnce(&mut T),
    ) -> Result<T, StoreError> {
        let failure = || StoreError::Io {
            operation: "reach",
            object: object.to_string(),
            source: io::Error::other("a planned fault"),
        };
        match self.verdict(operation) {
            Verdict::Pass => work(),
            Verdict::Fail => Err(failure()),
            Verdict::Full => Err(StoreError::NoSpace { operation: "write", object: object.to_string() }),
            Verdict::WorkAndFail => work().and_then(|_| Err(failure())),
            Verdict::Flip => work().map(|mut answer| {
                flip(&mut answer);
                answer
            }),
        }
    }
}

fn flip_middle(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
}

impl<S: Store> Store for Faulty<S> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn folder(&self) -> Option<PathBuf> {
        self.inner.folder()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put_if_absent(&self, name: &str, bytes: Bytes, cancel: &Cancel) -> Result<PutOutcome, StoreError> {
        self.around(Operation::Put, name, || self.inner.put_if_absent(name, bytes.clone(), cancel), |_| {})
    }

    fn get(&self, name: &str, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.around(Operation::Get, name, || self.inner.get(name, cancel), |bytes| flip_middle(bytes))
    }

    fn get_range(&self, name: &str, offset: u64, len: u64, cancel: &Cancel) -> Result<Vec<u8>, StoreError> {
        self.around(
            Operation::Get,
            name,
            || self.inner.get_range(name, offset, len, cancel),
            |bytes| flip_middle(bytes),
        )
    }

    fn stat(&self, name: &str, cancel: &Cancel) -> Result<ObjectMeta, StoreError> {
        self.inner.stat(name, cancel)
    }

    fn list(&self, prefix: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.around(Operation::List, prefix, || self.inner.list(prefix, cancel), |_| {})
    }

    fn list_after(&self, prefix: &str, after: &str, cancel: &Cancel) -> Result<Vec<ObjectMeta>, StoreError> {
        self.around(Operation::List, prefix, || self.inner.list_after(prefix, after, cancel), |_| {})
    }

    fn foreign(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.inner.foreign(cancel)
    }

    fn other_folders(&self, known: &[&str], cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.around(Operation::List, "", || self.inner.other_folders(known, cancel), |_| {})
    }

    fn top(&self, cancel: &Cancel) -> Result<Vec<String>, StoreError> {
        self.around(Operation::List, "", || self.inner.top(cancel), |_| {})
    }

    fn delete(&self, name: &str, cancel: &Cancel) -> Result<(), StoreError> {
        self.around(Operation::Delete, name, || self.inner.delete(name, cancel), |_| {})
    }
}
