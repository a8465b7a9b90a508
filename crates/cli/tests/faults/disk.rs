//! The repository's disk is full at any point of a backup.

use pgark_testkit::SmallDisk;

use super::bench_of_faults::{Random, Site, failed, tell, times};
use super::support::text;

#[test]
fn full_at_random_points() {
    let mut site = Site::new();
    // The disk takes the place of the repository's folder, whose content moves onto it.
    site.backup();
    let repo = site.desk.repo();
    let aside = site.desk.path("aside");
    std::fs::rename(&repo, &aside).unwrap();
    std::fs::create_dir(&repo).unwrap();
    let disk = SmallDisk::mount(&repo, 400 << 10);
    let copied = disk.command("cp").arg("-a").arg(aside.join(".")).arg(&repo).status().unwrap();
    assert!(copied.success());
    site.desk.run_through(disk.prefix());
    let info = site.info();
    let used = |disk: &SmallDisk| -> u64 {
        let output = disk.command("du").args(["-sk"]).arg(&repo).output().unwrap();
        text(&output.stdout).split_whitespace().next().and_then(|number| number.parse().ok()).unwrap()
    };
    let before = used(&disk);
    site.change();
    site.backup();
    let mut room = used(&disk) - before;
    let mut random = Random::new(7);
    let (mut full, rounds) = (0, times(20, 60));
    for round in 0..rounds {
        site.change();
        disk.resize(used(&disk) + random.below(room));
        let output = site.desk.run(&["backup", "--dbname", &info]);
        if output.status.success() {
            site.verify();
            // It needed less than thought.
            room = room * 3 / 4;
        } else {
            full += 1;
            failed(&output, &["no space", "No space"]);
            site.verify();
        }
        if round % 5 == 4 {
            disk.resize(400 << 10);
            site.verify_all();
        }
    }
    assert!(full * 2 > rounds, "the disk was full only {full} times");
    disk.resize(400 << 10);
    site.verify_all();
    tell(
        "full disk",
        full,
        &format!("failed with the cause; clean; {} committed backups equal", site.committed()),
    );
}
