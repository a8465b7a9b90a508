//! Puts a far network before a port of this host: `far PORT MILLISECONDS` prints the port of the
//! proxy and runs until its input ends. For `./bench storage`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a tool of the bench")]

use std::io::Read;
use std::time::Duration;

use pgark_testkit::storage::{Network, Proxy};

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|text| text.parse().unwrap()).collect();
    let [port, milliseconds] = numbers[..] else { panic!("far PORT MILLISECONDS") };
    // Half of the round trip in each direction.
    let network = Network { latency: Duration::from_micros(milliseconds * 500), ..Network::default() };
    let proxy = Proxy::start(u16::try_from(port).unwrap(), network);
    println!("{}", proxy.port());
    let _ = std::io::stdin().read(&mut [0]);
}
