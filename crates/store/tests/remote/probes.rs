//! What a probe finds on storages of which it is known.

use pgark_store::Target;
use pgark_store::probe::{self, Finding, Verdict};
use pgark_testkit::storage::{Login, Moto, S3rver, Sshd};

use crate::support::{keys, opened, s3, sftp};

fn probed(target: Target, throughput: bool) -> probe::Report {
    let store = opened(target);
    let report = probe::run(&store, throughput, &|_| {}).unwrap();
    let left = store.list(probe::FOLDER).unwrap();
    assert!(left.is_empty() || report.delete != Finding::Good, "{left:?}");
    report
}

#[test]
fn a_good_bucket_is_fit() {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    let report = probed(Target::S3(s3(moto.endpoint(), "bucket", "p", keys("a", "b"))), true);
    assert_eq!(report.verdict, Verdict::Fit, "{report:?}");
    assert_eq!((report.versions, report.lock), (Some(false), Some(false)));
    assert!(report.upload.unwrap() > 0.0 && report.download.unwrap() > 0.0);
    moto.make_locked_bucket("locked");
    let report = probed(Target::S3(s3(moto.endpoint(), "locked", "p", keys("a", "b"))), false);
    assert_eq!((report.verdict, report.versions, report.lock), (Verdict::Fit, Some(true), Some(true)));
}

#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    let server = S3rver::start();
    let report = probed(Target::S3(s3(server.endpoint(), "test", "", keys("S3RVER", "S3RVER"))), false);
    assert_eq!(report.verdict, Verdict::FitWithLimits, "{report:?}");
    assert!(matches!(report.put_if_absent, Finding::Bad(_)));
    assert!(report.advice.iter().any(|advice| advice.contains("one writer at a time")), "{report:?}");
}

#[test]
fn a_key_that_may_not_delete_is_found_out() {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:GetObject","s3:ListBucket"],"Resource":"*"}]}"#;
    let (id, secret) = moto.make_user("writer", policy);
    moto.check_policies_after(0);
    let report = probed(Target::S3(s3(moto.endpoint(), "bucket", "", keys(&id, &secret))), false);
    assert_eq!(report.verdict, Verdict::FitWithLimits, "{report:?}");
    assert!(matches!(report.delete, Finding::Unknown(_)));
}

#[test]
fn an_ssh_server_is_fit() {
    let server = Sshd::start(Login::Key);
    let report = probed(Target::Sftp(sftp(&server, server.port(), "repository")), true);
    assert_eq!(report.verdict, Verdict::Fit, "{report:?}");
    assert_eq!((report.versions, report.lock), (None, None));
}
