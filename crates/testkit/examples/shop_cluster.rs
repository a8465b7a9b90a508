//! Starts a throw-away cluster with a shop, prints its conninfo, and keeps it until standard input
//! ends. Arguments: megabytes (default 200), major (default: 15 where installed).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Read;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u32>().expect("a number"));
    let megabytes = arguments.next().unwrap_or(200);
    let major = arguments.next().unwrap_or_else(pgark_testkit::default_major);
    let cluster = pgark_testkit::Cluster::builder().major(major).start();
    let start = Instant::now();
    pgark_testkit::shop::load(&cluster, "shop", megabytes, 1);
    let size = cluster.psql_text("shop", "SELECT pg_size_pretty(pg_database_size(current_database()))");
    eprintln!("loaded {size} in {:.1} s", start.elapsed().as_secs_f64());
    println!("{}", cluster.conninfo("shop"));
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("wait for the end of input");
}
