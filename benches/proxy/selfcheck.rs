//! Proof that the benchmark would notice: wrong answers must be counted, through the proxy as well, and an answer reads the same however it is cut.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::answer::{Reader, Wanted, Wrong};
use crate::browsers::{Browsers, Load, Seen, Window};
use crate::failure::Failure;
use crate::options::Role;
use crate::server::Server;

const CONNECTIONS: usize = 4;

/// Runs every check; the error names the first that failed.
pub fn run() -> Result<(), Failure> {
    check_reader()?;
    let application = Server::start(Role::Direct, 1, None, None)?;
    let proxy = Server::start(Role::Cottontail, 2, Some(application.address), None)?;
    for server in [&application, &proxy] {
        for wanted in Wanted::ALL {
            let Seen { answers, faults, first_fault, .. } = seen(server.address, wanted)?;
            let expected = match wanted {
                Wanted::Small | Wanted::Large => answers > 0 && faults == 0,
                Wanted::Short | Wanted::Altered | Wanted::Refused => answers == 0 && faults == CONNECTIONS as u64,
            };
            ensure(expected, || {
                format!(
                    "{} of {}: {answers} answers, {faults} faults: {first_fault:?}",
                    wanted.path(),
                    server.role.as_str()
                )
            })?;
        }
    }
    Ok(())
}

fn seen(address: SocketAddr, wanted: Wanted) -> Result<Seen, Failure> {
    let from = Instant::now();
    let window = Window { from, until: from + Duration::from_millis(500) };
    Browsers::start(Load { address, wanted, connections: CONNECTIONS, threads: 2 }, window).finish()
}

fn check_reader() -> Result<(), Failure> {
    let (answer, _) = Wanted::Small.sent();
    let two = answer.repeat(2);
    for cut in 1..=answer.len() {
        let mut reader = Reader::new(Wanted::Small);
        let complete = two.chunks(answer.len()).flat_map(|answer| answer.chunks(cut)).map(|part| reader.feed(part));
        let complete = complete.collect::<Result<Vec<_>, _>>();
        let found = complete.map(|complete| complete.iter().filter(|complete| **complete).count());
        ensure(found == Ok(2), || format!("cut in parts of {cut}: {found:?}"))?;
    }
    let excess = Reader::new(Wanted::Small).feed(&two);
    ensure(excess == Err(Wrong::Excess), || format!("two answers at once were read as {excess:?}"))
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::SelfCheck(problem())) }
}
