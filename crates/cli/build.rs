//! The commit that the program is built from, for `pgark --version`. From a tarball there is none.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Unpacked inside of another project's repository, that one's commit would be told.
    if git(&["ls-files", "--error-unmatch", "build.rs"]).is_none() {
        return;
    }
    let Some(commit) = git(&["rev-parse", "--short=8", "HEAD"]) else { return };
    println!("cargo::rustc-env=PGARK_COMMIT={commit}");
    // A checkout changes HEAD; a commit changes the branch, or the file of all branches.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().map(str::to_string).chain(branch) {
        // A file that is not there would count as one that was changed, in each build.
        if let Some(path) = git(&["rev-parse", "--git-path", &name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// The first line that git prints; none: it failed, or is not there.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    let line = String::from_utf8(output.stdout).ok()?.lines().next()?.trim().to_string();
    Some(line).filter(|line| !line.is_empty())
}
