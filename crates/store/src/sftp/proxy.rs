//! A connection that is a command's input and output: `ProxyCommand` of ssh_config(5).

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Join, ReadBuf, join};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

use crate::lock;

/// Of what the command complains, so much is kept.
const KEPT: usize = 500;
/// A command that has ended the connection is about to say why, and ends then: waited for is its
/// end, and at most this, since what it has started may go on with its standard error.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// The command ends with the connection.
pub(super) struct Proxy {
    stream: Join<ChildStdout, ChildStdin>,
    complaint: Arc<Mutex<Vec<u8>>>,
    /// Hears when all was read that it complained of.
    silence: Option<oneshot::Receiver<()>>,
    child: Arc<Child>,
}

impl Proxy {
    pub(super) fn start(command: &str) -> io::Result<Proxy> {
        let mut shell = Command::new("sh");
        crate::Child::Command.prepare(shell.as_std_mut());
        let mut child = shell
            .args(["-c", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // A Ctrl-C is ours: what is tidied up then needs the connection.
            .process_group(0)
            .spawn()?;
        let pipe = || io::Error::other("it has no pipes");
        let (input, output) = (child.stdin.take().ok_or_else(pipe)?, child.stdout.take().ok_or_else(pipe)?);
        let mut errors = child.stderr.take().ok_or_else(pipe)?;
        let complaint = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&complaint);
        let (is_silent, silence) = oneshot::channel();
        // Ends with the command. What is too much is read all the same, so that the command does
        // not wait.
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            while let Ok(count @ 1..) = errors.read(&mut bytes).await {
                let mut kept = lock(&kept);
                let room = KEPT.saturating_sub(kept.len()).min(count);
                kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
            // Perhaps nobody waits for it.
            let _ = is_silent.send(());
        });
        let (stream, child) = (join(output, input), Arc::new(child));
        Ok(Proxy { stream, complaint, silence: Some(silence), child })
    }

    /// What the command has complained of when its connection has ended. Until that is heard, it is
    /// not killed.
    pub(super) fn complaint(&mut self) -> impl Future<Output = String> + use<> {
        let (complaint, silence) = (Arc::clone(&self.complaint), self.silence.take());
        let child = Arc::clone(&self.child);
        async move {
            if let Some(silence) = silence {
                // What was said until then counts, either way.
                let _ = tokio::time::timeout(LAST_WORDS, silence).await;
            }
            drop(child);
            String::from_utf8_lossy(&lock(&complaint)).trim().replace("\r\n", "\n").replace('\n', "; ")
        }
    }
}

impl AsyncRead for Proxy {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Proxy {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
