//! `scale FOLDER CHUNKS…`: what an index of so many chunks costs; a line of a table for each
//! (`./bench scale`).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

use std::path::PathBuf;
use std::process::Command;

/// Highest resident memory of this process, in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = PathBuf::from(&arguments[0]);
    if arguments.len() > 2 {
        println!(
            "| chunks | build | local file | open | misses/s | hits/s | 200,000 together/s | count for prune | peak memory |"
        );
        println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        // Each in a process of its own: the peak is its own, too.
        for chunks in &arguments[1..] {
            let own = std::env::current_exe().unwrap();
            assert!(Command::new(own).arg(&folder).arg(chunks).status().unwrap().success());
        }
        return;
    }
    let figures = pgark_repo::measure::figures(arguments[1].parse().unwrap(), &folder).unwrap();
    println!(
        "| {:.1} M | {:.1} s | {:.2} GB | {:.2} s | {:.1} M | {:.0} k | {:.0} k | {:.1} s | {} MiB |",
        figures.chunks as f64 / 1e6,
        figures.build,
        figures.file as f64 / 1e9,
        figures.open,
        figures.misses / 1e6,
        figures.hits / 1e3,
        figures.together / 1e3,
        figures.count,
        peak(),
    );
}
