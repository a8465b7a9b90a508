//! What an answer that is no success means.
//!
//! Sources: Amazon S3 API reference, "Error responses"; Azure Blob service REST API, "Common REST
//! API error codes" and "Blob service error codes"; Cloud Storage XML API, "HTTP status and error
//! codes".

use std::iter::successors;

use super::process;
use crate::error::with_causes;
use crate::http::Answer;
use crate::{Cause, StoreError};

/// Clocks may differ by so many seconds before signatures are refused (S3: 15 minutes, Azure: 15
/// minutes).
const SKEW: i64 = 300;

/// Whether a conditional put found an object.
pub(crate) fn exists_already(answer: &Answer) -> bool {
    match answer.status {
        Some(412) => true,
        // Azure's way to say it; S3's 409 is another: two conditional puts at one moment, and the
        // one that asks should ask again.
        Some(409) => answer.code == "BlobAlreadyExists" || answer.code == "PreconditionFailed",
        _ => false,
    }
}

/// Whether a storage says that it knows no conditional puts.
pub(crate) fn condition_not_implemented(error: &StoreError) -> bool {
    matches!(error, StoreError::Failed { answer, .. } if answer.contains("NotImplemented"))
}

/// Sorts a failure by what was answered; `error` is what the client says of it, for the case that
/// nothing was.
pub(crate) fn sort(
    operation: &'static str,
    object: String,
    answer: &Answer,
    error: &(dyn std::error::Error + 'static),
) -> StoreError {
    if let Some(service) = &answer.elsewhere {
        let why = match (&answer.transport, answer.status) {
            (Some(transport), _) => transport.what.clone(),
            (None, Some(status)) => describe(status, answer),
            (None, None) => error.to_string(),
        };
        let answer = format!("no credentials were found, and {service} returned none: {why}");
        return StoreError::Failed { operation, object, answer, cause: Cause::Credentials, passing: false };
    }
    if answer.too_large {
        return StoreError::TooLarge { operation, object };
    }
    if let Some(transport) = &answer.transport {
        let cause = transport.cause.clone();
        return StoreError::Failed {
            operation,
            object,
            answer: transport.what.clone(),
            passing: matches!(cause, Cause::Network | Cause::Unreachable),
            cause,
        };
    }
    let Some(status) = answer.status.filter(|status| *status >= 300) else {
        let text = with_causes(error);
        // Azure deletes in batches: the batch succeeds, and each part of it has a status of its
        // own.
        if let Some(status) = status_of_part(&text) {
            let part = Answer { status: Some(status), message: text, ..answer.clone() };
            return sort(operation, object, &part, error);
        }
        let mut causes = successors(Some(error), |error| error.source());
        if let Some(failed) = causes.find_map(|error| error.downcast_ref::<process::Failed>()) {
            let (answer, cause) = (failed.to_string(), Cause::Credentials);
            return StoreError::Failed { operation, object, answer, cause, passing: false };
        }
        // An answer that broke off is one of the network's; this one was whole, and not understood.
        return StoreError::Failed { operation, object, answer: text, cause: Cause::Unknown, passing: false };
    };
    let (cause, passing) = judge(status, answer);
    match (status, &cause) {
        (404 | 410, Cause::Unknown) => StoreError::NotFound { operation, object },
        (416, _) => StoreError::TooShort { object, end: 0 },
        (507, _) => StoreError::NoSpace { operation, object },
        _ if answer.code == "XMinioStorageFull" || answer.code == "QuotaExceeded" => {
            StoreError::NoSpace { operation, object }
        }
        _ => StoreError::Failed { operation, object, answer: describe(status, answer), cause, passing },
    }
}

/// Probable cause, and whether it passes.
fn judge(status: u16, answer: &Answer) -> (Cause, bool) {
    let skewed = answer.skew.filter(|skew| skew.abs() > SKEW).map(Cause::ClockSkew);
    let cause = match answer.code.as_str() {
        "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted" => Cause::NoBucket,
        "RequestTimeTooSkewed" => Cause::ClockSkew(answer.skew.unwrap_or_default()),
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "TemporaryRedirect"
        | "IllegalLocationConstraintException" => Cause::Region(answer.region.clone()),
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidToken"
        | "ExpiredToken"
        | "InvalidClientTokenId"
        | "AuthenticationFailed"
        | "NoAuthenticationInformation"
        | "InvalidAuthenticationInfo"
        | "AccountIsDisabled"
        | "MissingSecurityHeader" => skewed.unwrap_or(Cause::Credentials),
        // One code for a wrong key and a missing right; the words differ.
        "AuthorizationFailure" if answer.message.contains("authenticate") => {
            skewed.unwrap_or(Cause::Credentials)
        }
        "AccessDenied"
        | "AllAccessDisabled"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "InsufficientAccountPermissions" => skewed.unwrap_or(Cause::Policy),
        "SlowDown"
        | "RequestTimeout"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServerBusy"
        | "OperationTimedOut"
        | "ConditionalRequestConflict"
        | "OperationAborted" => Cause::Overloaded,
        _ => match status {
            301 | 307 => Cause::Region(answer.region.clone()),
            401 => skewed.unwrap_or(Cause::Credentials),
            403 => skewed.unwrap_or(Cause::Policy),
            408 | 425 | 429 | 500 | 502 | 503 | 504 => Cause::Overloaded,
            _ => Cause::Unknown,
        },
    };
    // A 404 for the whole account or host has no code of its own.
    let cause = match (status, cause) {
        (404, Cause::Unknown) if answer.message.contains("bucket does not exist") => Cause::NoBucket,
        (_, cause) => cause,
    };
    let passing = cause == Cause::Overloaded;
    (cause, passing)
}

/// The number in `(code: 404)`.
fn status_of_part(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("(code: ")?;
    rest.split_once(')')?.0.parse().ok().filter(|status| (300..600).contains(status))
}

fn describe(status: u16, answer: &Answer) -> String {
    let mut text = format!("the storage answered {status}");
    if !answer.code.is_empty() {
        text.push_str(&format!(" {}", answer.code));
    }
    if !answer.message.is_empty() {
        text.push_str(&format!(": {}", answer.message));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> Answer {
        Answer { status: Some(status), code: code.into(), ..Answer::default() }
    }

    #[test]
    fn causes_are_told_apart() {
        let skewed = Answer { skew: Some(-4000), ..answer(403, "AccessDenied") };
        let region =
            Answer { region: Some("eu-west-1".into()), ..answer(400, "AuthorizationHeaderMalformed") };
        for (answer, cause, passing) in [
            (answer(404, "NoSuchBucket"), Cause::NoBucket, false),
            (answer(404, "NoSuchKey"), Cause::Unknown, false),
            (answer(403, "AccessDenied"), Cause::Policy, false),
            (answer(403, "SignatureDoesNotMatch"), Cause::Credentials, false),
            (answer(403, ""), Cause::Policy, false),
            (skewed, Cause::ClockSkew(-4000), false),
            (region, Cause::Region(Some("eu-west-1".into())), false),
            (answer(301, ""), Cause::Region(None), false),
            (answer(503, "SlowDown"), Cause::Overloaded, true),
            (answer(409, "ConditionalRequestConflict"), Cause::Overloaded, true),
            (answer(400, "InvalidArgument"), Cause::Unknown, false),
        ] {
            assert_eq!(judge(answer.status.unwrap_or_default(), &answer), (cause, passing), "{answer:?}");
        }
    }

    #[test]
    fn a_found_object_is_no_failure() {
        assert!(exists_already(&answer(412, "PreconditionFailed")));
        assert!(exists_already(&answer(409, "BlobAlreadyExists")));
        assert!(!exists_already(&answer(409, "ConditionalRequestConflict")));
        assert!(!exists_already(&answer(200, "")));
        assert_eq!(status_of_part("failed: no such blob. (code: 404) (and more)"), Some(404));
        assert_eq!(status_of_part("denied (code: AccessDenied)"), None);
    }
}
