//! The one suite on each storage.

use pgark_store::{DirStore, SftpConfig, SftpPlace, Storage, Target, contract, probe};
use pgark_testkit::storage::{
    Azurite, GcsStandIn, Login, Moto, NoLinks, Rclone, S3rver, Sshd, make_container,
};

use crate::support::{azure, gcs, keys, opened, rclone, s3, sftp};

#[test]
fn s3_on_moto() {
    let moto = Moto::start();
    moto.make_bucket("bucket");
    contract::all(&opened(Target::S3(s3(moto.endpoint(), "bucket", "", keys("a", "b")))));
    contract::all(&opened(Target::S3(s3(
        moto.endpoint(),
        "bucket",
        "odd prefix/with ü & + =",
        keys("a", "b"),
    ))));
}

#[test]
fn s3_on_s3rver_where_conditions_are_ignored() {
    let server = S3rver::start();
    let store = opened(Target::S3(s3(server.endpoint(), "test", "a/prefix", keys("S3RVER", "S3RVER"))));
    assert!(store.capabilities().atomic_put_if_absent, "not known before the first put");
    contract::all(&store);
    assert!(!store.capabilities().atomic_put_if_absent);
}

#[test]
fn azure_on_azurite() {
    let server = Azurite::start();
    make_container(&server, "container");
    contract::all(&opened(azure(&server, "container", "a/prefix", Azurite::KEY)));
}

#[test]
fn gcs_on_a_stand_in_that_is_not_gcs() {
    let server = GcsStandIn::start();
    server.make_bucket("bucket");
    contract::all(&opened(gcs(&server, "bucket", "a/prefix")));
}

#[test]
fn sftp_on_sshd() {
    let server = Sshd::start(Login::Key);
    contract::all(&opened(Target::Sftp(sftp(&server, server.port(), "deep/er/folder"))));
    no_temporary_file_stays(&server.data());
}

/// The last one's removal was not waited for.
fn no_temporary_file_stays(data: &std::path::Path) {
    let left = || std::fs::read_dir(data.join("deep/er/folder/.tmp")).unwrap().count();
    pgark_testkit::wait_for("the end of all temporary files", || left() == 0);
}

#[test]
fn sftp_on_rclone_where_names_are_taken_and_links_are_lost() {
    let server = Rclone::start();
    let store = opened(Target::Sftp(rclone(&server, "deep/er/folder")));
    assert!(store.capabilities().atomic_put_if_absent, "not known before the first put");
    contract::all(&store);
    assert!(!store.capabilities().atomic_put_if_absent);
    let report = probe::run(&store, false, &|_| {}).unwrap();
    assert_eq!(report.verdict, probe::Verdict::FitWithLimits, "{report:?}");
    no_temporary_file_stays(&server.data());
}

#[test]
fn file_systems_without_links_take_one_writer() {
    let Some(mounted) = NoLinks::mount() else { return };
    assert!(std::fs::write(mounted.path().join("a"), "a").is_ok());
    assert!(std::fs::hard_link(mounted.path().join("a"), mounted.path().join("b")).is_err());
    let directory = Storage::uncancelled(DirStore::create(mounted.path().join("directory")).unwrap());
    contract::all(&directory);
    assert!(!directory.capabilities().atomic_put_if_absent);
    let server = Sshd::start(Login::Key);
    let plain = sftp(&server, server.port(), "x");
    let path = mounted.path().join("sftp").display().to_string();
    let store =
        opened(Target::Sftp(SftpConfig { place: SftpPlace { path, ..plain.place.clone() }, ..plain }));
    contract::all(&store);
    assert!(!store.capabilities().atomic_put_if_absent);
}
