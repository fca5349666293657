//! Resumes from the ring, and what the ring takes.

use std::time::Instant;

use crate::Options;
use crate::browser::{Browser, Resume, resume_all};
use crate::setting::{EVENTS_A_USER, Setting};
use crate::table::Row;

const BUDGET_SECONDS: f64 = 2.0;
const RUNS: usize = 3;

/// Publishes the events that the ring is to hold; gives the id before the first of them.
pub async fn fill(setting: &Setting) -> String {
    let opening = Browser::open(setting.address(), &setting.request(0, None)).await.unwrap();
    let users = setting.users();
    let events = users * EVENTS_A_USER;
    let messages = (0..events).map(|number| (format!("user.u{}", number % users), number.to_string()));
    setting.publisher.publish_all(messages).await;
    setting.ring_holds(events).await;
    opening.last_event_id().expect("an opening block has an id")
}

pub async fn measure(setting: &Setting, options: &Options) -> Vec<Row> {
    let before = setting.resident();
    let start = fill(setting).await;
    let events = setting.users() * EVENTS_A_USER;
    let (resident, ring) = (setting.resident() - before, setting.stats().await["history"]["bytes"].clone());
    let memory = format!(
        "{:.1} MB resident, {:.1} MB by its own account",
        resident as f64 / 1e6,
        ring.as_f64().unwrap_or_default() / 1e6
    );
    let mut rows = vec![Row::new(format!("memory of a ring of {events} events"), memory)];

    let mut seconds = Vec::new();
    for _ in 0..RUNS {
        let resumes = resumes(setting, options.clients, &start);
        let began = Instant::now();
        let browsers = resume_all(setting.address(), resumes).await;
        seconds.push(began.elapsed().as_secs_f64());
        drop(browsers);
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds[RUNS / 2];
    let each = format!("{median:.2} s ({:.0}/s; {seconds:.2?})", options.clients as f64 / median);
    let what = format!("{} resumes of {EVENTS_A_USER} events from the ring", options.clients);
    rows.push(Row::new(what, each).budget(format!("< {BUDGET_SECONDS} s"), median < BUDGET_SECONDS));
    rows
}

/// Everybody comes back with the id from before the first event.
pub fn resumes(setting: &Setting, clients: usize, start: &str) -> Vec<Resume> {
    let users = setting.users();
    (0..clients)
        .map(|client| Resume {
            request: setting.request(client, Some(start)),
            events: EVENTS_A_USER,
            last: (client % users + (EVENTS_A_USER - 1) * users).to_string(),
        })
        .collect()
}
