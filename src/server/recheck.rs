//! Sessions of open streams, asked about again at intervals: spread over the interval, a few at once, and no timer for any stream.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::oneshot;
use tokio::time::sleep;
use uuid::Uuid;

use super::regrant;
use super::sites::Sites;
use crate::hub::{Orders, Verdict, View, Whom};
use crate::provider::session::{Session, Sessions, Verdict as Word};

/// Parts that an interval has; in each some of the streams are asked about.
const PARTS: u32 = 20;
/// Questions at once; the application has browsers to serve as well.
const AT_ONCE: usize = 8;
/// Time between two looks at whether there is anything to do.
const LOOK: Duration = Duration::from_secs(5);

type Found = Vec<(Uuid, Arc<Session>)>;

/// Asks about the sessions of open streams for as long as it is polled. Never resolves.
pub async fn recheck_sessions(orders: Orders, sites: Sites) {
    let mut part = 0;
    loop {
        let sessions = sites.current().sessions().cloned();
        let Some((sessions, interval)) =
            sessions.and_then(|sessions| Some((Arc::clone(&sessions), sessions.interval()?)))
        else {
            sleep(LOOK).await;
            continue;
        };
        sleep(interval / PARTS).await;
        part = (part + 1) % PARTS;
        let found = of_part(&orders, part).await;
        stream::iter(found)
            .for_each_concurrent(AT_ONCE, |(connection, session)| {
                recheck(&orders, &sites, &sessions, (connection, session))
            })
            .await;
    }
}

/// The streams whose turn it is, with their sessions.
async fn of_part(orders: &Orders, part: u32) -> Found {
    let found = Arc::new(Mutex::new(Found::new()));
    let (done, told) = oneshot::channel();
    let collected = Arc::clone(&found);
    let look = move |view: &View<'_>| {
        if let Some(session) = view.standing.and_then(|standing| standing.session.as_ref())
            && is_of_part(view.connection, part)
        {
            let mut found = collected.lock().unwrap_or_else(PoisonError::into_inner);
            found.push((view.connection, Arc::clone(session)));
        }
        Verdict::Keep
    };
    let finish = move |_streams| {
        // An error means that nobody waits any more.
        let _told = done.send(());
    };
    // When too much is under way it is another part's turn next, and this one's an interval later.
    if orders.give(Whom::All, look, finish).is_ok() && told.await.is_ok() {
        return std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Found::new()
}

fn is_of_part(connection: Uuid, part: u32) -> bool {
    let mut hasher = DefaultHasher::new();
    connection.hash(&mut hasher);
    hasher.finish() % u64::from(PARTS) == u64::from(part)
}

async fn recheck(orders: &Orders, sites: &Sites, sessions: &Sessions, (connection, session): (Uuid, Arc<Session>)) {
    let judged = match sessions.recheck(&session).await {
        Word::Known(identity) => Ok(identity),
        Word::Over(error) => Err(error),
        Word::Undecided => return,
    };
    let sites = sites.clone();
    let judge = move |view: &View<'_>| {
        let Some(standing) = view.standing else { return Verdict::Keep };
        // Another configuration may have come into force since the application answered.
        let judged = judged.as_ref().map_err(|error| *error).and_then(|identity| sites.reconsider(identity));
        regrant::verdict(view, standing, judged.as_ref().map_err(|error| *error), SystemTime::now())
    };
    // When too much is under way it is asked about again an interval later.
    let _given = orders.give(Whom::Connection(connection), judge, drop);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stream_has_one_turn_in_an_interval_and_turns_are_even() {
        let mut turns = [0; 20];
        for number in 0..10_000 {
            let parts: Vec<_> = (0..PARTS).filter(|part| is_of_part(Uuid::from_u128(number), *part)).collect();
            assert_eq!(parts.len(), 1);
            turns[usize::try_from(parts[0]).expect("few")] += 1;
        }
        assert!(turns.iter().all(|count| (400..600).contains(count)), "{turns:?}");
    }
}
