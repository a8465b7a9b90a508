//! The HTTP client under S3, GCS and Azure: paced, counted, watched for stalls, and with an ear for
//! what an answer says.
//!
//! A client library above decides what is asked and how it is signed; here a request becomes bytes.
//! Each answer that is no success is read whole (up to 64 KiB) and kept next to the library's own
//! error, because only its code tells a missing bucket from a missing object, or a wrong clock from
//! a wrong key.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};
use tokio::time::Sleep;

use crate::error::with_causes;
use crate::pace::{Pace, STEP};
use crate::traffic::{Request, Traffic};
use crate::{Cause, LARGEST_OBJECT, certificate, lock};

/// Longest answer that is kept of a request that failed.
const LONGEST_ANSWER: usize = 64 << 10;
/// A connection is made in this time or not at all.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes handed to a connection at once where no limit is set.
const UNLIMITED_STEP: usize = 256 << 10;

/// What an answer said that was no success, and what became of a request that had none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    /// HTTP status.
    pub status: Option<u16>,
    /// The code in its body or headers: `NoSuchBucket`.
    pub code: String,
    /// What it says for people.
    pub message: String,
    /// `<Region>` in its body, or the header that names it.
    pub region: Option<String>,
    /// Our clock minus the storage's, in seconds.
    pub skew: Option<i64>,
    /// Why there was no answer.
    pub transport: Option<Transport>,
    /// It is longer than any that is right.
    pub too_large: bool,
    /// The service that was asked, where that was not the storage but one that gives credentials.
    pub elsewhere: Option<String>,
}

/// Why there was no answer.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    pub what: String,
    pub cause: Cause,
}

tokio::task_local! {
    static HEARD: Arc<Mutex<Answer>>;
}

/// Runs `work` and gives what its last request was answered.
pub(crate) async fn listening<T>(work: impl Future<Output = T>) -> (T, Answer) {
    let heard = Arc::new(Mutex::new(Answer::default()));
    let done = HEARD.scope(Arc::clone(&heard), work).await;
    let answer = lock(&heard).clone();
    (done, answer)
}

fn note(answer: Answer) {
    let _ = HEARD.try_with(|heard| *lock(heard) = answer);
}

/// Limits that requests share.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    pub client: reqwest::Client,
    pub traffic: Arc<Traffic>,
    pub up: Arc<Pace>,
    pub down: Arc<Pace>,
    /// A request that transfers no byte for this long has failed.
    pub stall: Duration,
}

/// Makes the client. `authorities` are PEM certificates trusted in addition to the system's.
///
/// # Errors
/// What is not understood, in words.
pub(crate) fn client(authorities: &[Vec<u8>]) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .user_agent(concat!("pgark/", env!("CARGO_PKG_VERSION")));
    if !authorities.is_empty() {
        let trust = crate::trust::config(authorities).map_err(|error| error.to_string())?;
        builder = builder.tls_backend_preconfigured(trust);
    }
    builder.build().map_err(|error| error.to_string())
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let host = request.uri().host().unwrap_or_default().to_string();
        let elsewhere = gives_credentials(&host);
        if elsewhere.is_none() {
            self.traffic.count(kind(&request));
        }
        // Such a service is on this host's own network or nowhere.
        let stall = if elsewhere.is_some() { self.stall.min(CONNECT) } else { self.stall };
        let asked = asked_range(&request);
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await?.to_bytes();
        let url = reqwest::Url::parse(&parts.uri.to_string())
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let moved = Arc::new(Mutex::new(Instant::now()));
        if !bytes.is_empty() {
            self.traffic.sent(bytes.len());
            *request.body_mut() = Some(reqwest::Body::wrap(Outgoing {
                bytes,
                pace: Arc::clone(&self.up),
                moved: Arc::clone(&moved),
                paid: 0,
                wait: None,
            }));
        }
        let response = tokio::select! {
            response = self.client.execute(request) => response.map_err(of_reqwest),
            () = stalled(&moved, stall) => Err(no_answer(stall)),
        };
        let response = response.inspect_err(|error| {
            note(Answer {
                transport: Some(transport(error, &host)),
                elsewhere: elsewhere.clone(),
                ..Answer::default()
            });
        })?;
        let (parts, body) = http::Response::from(response).into_parts();
        // A server that ignores ranges answers with the whole object.
        let is_part = parts.status == http::StatusCode::PARTIAL_CONTENT;
        let most = asked.filter(|_| is_part).unwrap_or(LARGEST_OBJECT);
        if body.size_hint().lower() > most {
            return Err(too_large());
        }
        let incoming = Incoming {
            inner: Box::pin(body),
            pace: Arc::clone(&self.down),
            traffic: Arc::clone(&self.traffic),
            left: most,
            stall: self.stall,
            idle: Box::pin(tokio::time::sleep(self.stall)),
            wait: None,
        };
        let skew = skew(&parts.headers);
        if parts.status.is_success() {
            note(Answer { status: Some(parts.status.as_u16()), skew, ..Answer::default() });
            return Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(incoming)));
        }
        let text = http_body_util::Limited::new(incoming, LONGEST_ANSWER)
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        note(Answer { elsewhere, ..read_answer(&parts, &text, skew) });
        Ok(HttpResponse::from_parts(parts, text_body(text)))
    }
}

fn text_body(text: Bytes) -> HttpResponseBody {
    let full = http_body_util::Full::new(text);
    HttpResponseBody::new(full.map_err(|never| match never {}))
}

fn kind(request: &HttpRequest) -> Request {
    let query = request.uri().query().unwrap_or_default();
    let lists = ["list-type=", "comp=list", "prefix=", "versions"].iter().any(|part| query.contains(part));
    match request.method().as_str() {
        "GET" if lists => Request::List,
        "GET" => Request::Get,
        "HEAD" => Request::Head,
        "DELETE" => Request::Delete,
        "POST" if query.contains("comp=batch") => Request::Delete,
        _ => Request::Put,
    }
}

/// Ends when no byte moved for so long.
async fn stalled(moved: &Mutex<Instant>, stall: Duration) {
    loop {
        let last = *lock(moved);
        match stall.checked_sub(last.elapsed()) {
            Some(rest) if !rest.is_zero() => tokio::time::sleep(rest).await,
            _ => return,
        }
    }
}

fn no_answer(stall: Duration) -> HttpError {
    let text = format!("no data was transferred for {} s", stall.as_secs().max(1));
    HttpError::new(HttpErrorKind::Timeout, std::io::Error::new(std::io::ErrorKind::TimedOut, text))
}

/// An answer that would take the memory.
fn too_large() -> HttpError {
    note(Answer { too_large: true, ..Answer::default() });
    HttpError::new(HttpErrorKind::Decode, std::io::Error::other("the answer is too long"))
}

/// How many bytes a request asks for: those of `Range: bytes=FIRST-LAST`.
fn asked_range(request: &HttpRequest) -> Option<u64> {
    let range = request.headers().get(http::header::RANGE)?.to_str().ok()?;
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    last.checked_sub(first)?.checked_add(1)
}

fn of_reqwest(error: reqwest::Error) -> HttpError {
    let kind = match () {
        () if error.is_timeout() => HttpErrorKind::Timeout,
        () if error.is_connect() => HttpErrorKind::Connect,
        () => HttpErrorKind::Interrupted,
    };
    HttpError::new(kind, error.without_url())
}

/// The innermost causes in words, none twice; a refused certificate in words of our own.
fn transport(error: &HttpError, host: &str) -> Transport {
    let Some(source) = std::error::Error::source(error) else {
        return Transport { what: String::new(), cause: Cause::Network };
    };
    if let Some((what, cause)) = certificate::refusal(source, host) {
        return Transport { what, cause };
    }
    let is_connect = source.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect);
    let cause = if is_connect { Cause::Unreachable } else { Cause::Network };
    Transport { what: with_causes(source), cause }
}

/// Our clock minus the server's.
fn skew(headers: &http::HeaderMap) -> Option<i64> {
    let date = headers.get(http::header::DATE)?.to_str().ok()?;
    let theirs = httpdate(date)?;
    let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(i64::try_from(ours).ok()? - theirs)
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
pub(crate) fn httpdate(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: i64 = words.next()?.parse().ok()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = words.next()?;
    let month = i64::try_from(months.iter().position(|month| *month == name)?).ok()? + 1;
    let year: i64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<i64>());
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let is_date = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    if !is_date || !is_time {
        return None;
    }
    // Days of the Gregorian calendar since 1970, years beginning in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 1
        - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn read_answer(parts: &http::response::Parts, text: &[u8], skew: Option<i64>) -> Answer {
    let text = String::from_utf8_lossy(text);
    let header = |name: &str| Some(parts.headers.get(name)?.to_str().ok()?.to_string());
    let code = element(&text, "Code").or_else(|| header("x-ms-error-code")).unwrap_or_default();
    let message = element(&text, "Message").or_else(|| element(&text, "Details")).unwrap_or_default();
    Answer {
        status: Some(parts.status.as_u16()),
        code,
        message: message.lines().next().unwrap_or_default().trim().to_string(),
        region: element(&text, "Region").or_else(|| header("x-amz-bucket-region")),
        skew,
        ..Answer::default()
    }
}

/// Hosts that are asked for credentials, not for objects.
fn gives_credentials(host: &str) -> Option<String> {
    let known = host.starts_with("169.254.")
        || host == "metadata.google.internal"
        || host.starts_with("sts.")
        || host.ends_with(".googleapis.com") && host.starts_with("oauth2")
        || host == "login.microsoftonline.com";
    known.then(|| host.to_string())
}

/// The text of the first element of that name in an error document. These are flat and short: no
/// parser is needed to read two words that only serve a message.
pub(crate) fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(
        inner
            .replace("&quot;", "\"")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

/// A request's body: handed over in steps, each when the pace allows it.
struct Outgoing {
    bytes: Bytes,
    pace: Arc<Pace>,
    moved: Arc<Mutex<Instant>>,
    /// Bytes of the front that the pace has let through.
    paid: usize,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let body = &mut *self;
        *lock(&body.moved) = Instant::now();
        if body.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let step = if body.pace.is_limited() { STEP } else { UNLIMITED_STEP }.min(body.bytes.len());
        if body.paid == 0 {
            body.wait = body.pace.sleep(step);
            body.paid = step;
        }
        if let Some(wait) = &mut body.wait {
            // A slow pace is no stall.
            let until = wait.deadline().into_std();
            *lock(&body.moved) = until;
            ready!(wait.as_mut().poll(context));
            body.wait = None;
        }
        let frame = body.bytes.split_to(body.paid);
        body.paid = 0;
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

/// An answer's body: watched for stalls, counted, paced and bounded.
struct Incoming {
    inner: Pin<Box<reqwest::Body>>,
    pace: Arc<Pace>,
    traffic: Arc<Traffic>,
    /// More bytes are refused.
    left: u64,
    stall: Duration,
    idle: Pin<Box<Sleep>>,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let body = &mut *self;
        if let Some(wait) = &mut body.wait {
            ready!(wait.as_mut().poll(context));
            body.wait = None;
        }
        match body.inner.as_mut().poll_frame(context) {
            Poll::Pending => {
                ready!(body.idle.as_mut().poll(context));
                Poll::Ready(Some(Err(no_answer(body.stall))))
            }
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                body.traffic.received(bytes);
                match body.left.checked_sub(bytes as u64) {
                    Some(left) => body.left = left,
                    None => return Poll::Ready(Some(Err(too_large()))),
                }
                body.wait = body.pace.sleep(bytes);
                let until = body.wait.as_ref().map_or_else(tokio::time::Instant::now, |wait| wait.deadline());
                body.idle.as_mut().reset(until + body.stall);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = of_reqwest(error);
                note(Answer { transport: Some(transport(&error, "")), ..Answer::default() });
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(httpdate("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(httpdate("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(httpdate("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(httpdate("yesterday"), None);
        assert_eq!(httpdate("Thu, 29 Feb 9223372036854775807 23:59:59 GMT"), None);
        assert_eq!(httpdate("Thu, 29 Feb 2024 23:59:9223372036854775807 GMT"), None);
    }

    #[test]
    fn answers_are_heard() {
        let text =
            "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>It &amp; all</Message></Error>";
        assert_eq!(element(text, "Code").as_deref(), Some("NoSuchBucket"));
        assert_eq!(element(text, "Message").as_deref(), Some("It & all"));
        assert_eq!(element(text, "Region"), None);
    }
}
