//! Resumes from the stream, by browsers spread over all of it.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::Options;
use crate::browser::{Browser, Resume, resume_all};
use crate::publisher::Publisher;
use crate::setting::{EVENTS_A_USER, GUIDE, Setting, TINY_RING};
use crate::table::Row;

const BUDGET_READERS: usize = 8;
const GLANCE: Duration = Duration::from_millis(10);

/// Writes a history anew, with an event for the guide before each part of it; everybody resumes after one of those.
pub async fn measure(setting: &mut Setting, options: &Options) -> Vec<Row> {
    // The broker was restarted since the setting began.
    setting.publisher = Publisher::connect(&setting.node.url("guest:guest", &setting.vhost)).await;
    let (parts, users) = (options.readers, setting.users());
    let events = users * EVENTS_A_USER;
    let part = events / parts;
    let mut guide = Browser::open(setting.address(), &setting.request_of(GUIDE, None)).await.unwrap();
    let mut ids = Vec::with_capacity(parts);
    for first in (0..parts).map(|number| number * part) {
        let marker = (format!("user.{GUIDE}"), first.to_string());
        let messages = (first..first + part).map(|number| (format!("user.u{}", number % users), number.to_string()));
        setting.publisher.publish_all(std::iter::once(marker).chain(messages)).await;
        assert_eq!(guide.event().await.unwrap(), first.to_string());
        ids.push(guide.last_event_id().expect("an event has an id"));
    }
    setting.restart(0, TINY_RING).await;
    let resumes: Vec<Resume> = ids
        .iter()
        .enumerate()
        .filter_map(|(number, id)| {
            let client = number * part % users;
            // The client's numbers are those that are equal to it modulo the number of users.
            let mine = (number * part..parts * part).filter(|event| event % users == client);
            let last = mine.clone().next_back()?;
            Some(Resume { request: setting.request(client, Some(id)), events: mine.count(), last: last.to_string() })
        })
        .collect();
    let (count, replayed) = (resumes.len(), resumes.iter().map(|resume| resume.events).sum::<usize>());
    let (done, watched) = watch::channel(false);
    let watching = most_readers(setting, watched);
    let resuming = async {
        let began = Instant::now();
        drop(resume_all(setting.address(), resumes).await);
        let took = began.elapsed().as_secs_f64();
        done.send_replace(true);
        took
    };
    let (readers, seconds) = tokio::join!(watching, resuming);
    let figure = format!("{seconds:.2} s ({:.0}/s; {replayed} events)", count as f64 / seconds);
    vec![
        Row::new(format!("{count} resumes spread over {events} events of the stream"), figure),
        Row::new("stream readers at one time, looked at from the broker", readers.to_string())
            .budget(format!("at most {BUDGET_READERS}"), readers <= BUDGET_READERS),
    ]
}

/// The most consumers that the broker had at any glance, less the one that follows the stream's end.
async fn most_readers(setting: &Setting, done: watch::Receiver<bool>) -> usize {
    let mut most = 0;
    while !*done.borrow() {
        // Of streams only the channels know their consumers.
        let listed = setting.node.ctl(&["list_channels", "--no-table-headers", "consumer_count"]).await;
        most = most.max(listed.lines().filter_map(|line| line.trim().parse::<usize>().ok()).sum());
        sleep(GLANCE).await;
    }
    most.saturating_sub(1)
}
