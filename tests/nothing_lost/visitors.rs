//! People who use the application itself, through the gateway and whichever replica it chooses, one request after the other.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::deadline::within;
use crate::support::http1::{Request, try_fetch};

const COUNT: usize = 3;
/// Between an answer and the next request.
const PAUSE: Duration = Duration::from_millis(20);

/// Visitors who go on until they are asked how it was.
pub struct Visitors {
    stop: watch::Sender<bool>,
    each: JoinSet<Visit>,
}

/// What became of the requests of one visitor.
struct Visit {
    answered: usize,
    failures: Vec<String>,
}

impl Visitors {
    pub fn enter(gateway: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut each = JoinSet::new();
        for name in 0..COUNT {
            each.spawn(visit(gateway, name, stopped.clone()));
        }
        Self { stop, each }
    }

    /// Ends the visits: every request was answered by the application, and there were many.
    pub async fn were_all_served(self) {
        self.stop.send_replace(true);
        let visits = within("the visitors to leave", self.each.join_all()).await;
        let failures: Vec<_> = visits.iter().flat_map(|visit| &visit.failures).collect();
        let answered: usize = visits.iter().map(|visit| visit.answered).sum();
        assert!(failures.is_empty(), "{answered} were answered, and these were not: {failures:?}");
        assert!(answered > 100, "only {answered} requests");
    }
}

async fn visit(gateway: SocketAddr, name: usize, stopped: watch::Receiver<bool>) -> Visit {
    let mut visit = Visit { answered: 0, failures: Vec::new() };
    for number in 0.. {
        // What nginx would not send a second time, and what it would.
        let method = if number % 2 == 0 { "GET" } else { "POST" };
        let target = format!("/visitor/{name}/{number}");
        match try_fetch(gateway, &Request::new(method, &target)).await {
            Ok(response) if response.status() == 200 && response.text() == target => visit.answered += 1,
            Ok(response) => {
                visit.failures.push(format!("{method} {target}: {} {}", response.status(), response.text()));
            }
            Err(error) => visit.failures.push(format!("{method} {target}: {error}")),
        }
        if *stopped.borrow() {
            break;
        }
        sleep(PAUSE).await;
    }
    visit
}
