//! `GET /subscribers` for operators: who is connected, filtered and a page at a time; streams are looked at by an order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;
use uuid::Uuid;

use crate::event::{Audience, ChannelName, UserId};
use crate::hub::{Orders, Verdict, View, Whom};

/// Streams of a page, unless the request says how many …
const PAGE: usize = 100;
/// … and at most.
const LONGEST_PAGE: usize = 1000;
/// Time for every worker to look at its streams.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there is no page: a status, and a sentence for people.
pub(super) type Refusal = (StatusCode, &'static str);

/// Which streams are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    user: Option<UserId>,
    channel: Option<ChannelName>,
    /// Only those whose connection id comes after this one.
    after: Option<Uuid>,
    limit: usize,
}

impl Question {
    fn read(query: Option<&str>) -> Result<Self, Refusal> {
        let mut question = Self { user: None, channel: None, after: None, limit: PAGE };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let wrong = |sentence| (StatusCode::BAD_REQUEST, sentence);
            match &*name {
                "user" => question.user = Some((*value).into()),
                "channel" => question.channel = Some((*value).into()),
                "after" => question.after = Some(value.parse().map_err(|_| wrong("after is a connection id\n"))?),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
                    question.limit = limit.ok_or_else(|| wrong("limit is a number from 1 to 1000\n"))?;
                }
                _ => return Err(wrong("there are user, channel, after and limit\n")),
            }
        }
        Ok(question)
    }

    /// The streams that have to be looked at: as few as one filter alone names.
    fn whom(&self) -> Whom {
        let user = self.user.clone().map(Audience::User);
        user.or_else(|| self.channel.clone().map(Audience::Channel)).map_or(Whom::All, Whom::Audience)
    }

    fn asks_for(&self, view: &View<'_>) -> bool {
        let listens = |audience| view.audiences.contains(&audience);
        self.after.is_none_or(|after| after < view.connection)
            && self.user.clone().map(Audience::User).is_none_or(listens)
            && self.channel.clone().map(Audience::Channel).is_none_or(listens)
    }
}

/// The streams of a page, in the order of their connection ids; one more than it has shows that there are others.
#[derive(Debug, Default)]
struct Page(Mutex<BTreeMap<Uuid, Value>>);

impl Page {
    fn take(&self, view: &View<'_>, limit: usize, now: Instant) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = rows.len() > limit;
        if is_full && rows.last_key_value().is_some_and(|(last, _)| *last < view.connection) {
            return;
        }
        rows.insert(view.connection, row(view, now));
        if is_full {
            rows.pop_last();
        }
    }

    fn into_json(self, limit: usize) -> String {
        let mut rows = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let more = rows.len() > limit;
        if more {
            rows.pop_last();
        }
        let next = rows.last_key_value().filter(|_| more).map(|(last, _)| last.to_string());
        json!({ "subscribers": rows.into_values().collect::<Vec<_>>(), "next": next }).to_string()
    }
}

fn row(view: &View<'_>, now: Instant) -> Value {
    let user = view.audiences.iter().find(|audience| matches!(audience, Audience::User(_))).map(Audience::name);
    let channels = view.audiences.iter().filter(|audience| matches!(audience, Audience::Channel(_)));
    let (events, bytes) = view.waiting;
    let age = view.standing.map(|standing| now.saturating_duration_since(standing.opened).as_secs());
    json!({
        "connectionId": view.connection,
        "user": user,
        "channels": channels.map(Audience::name).collect::<Vec<_>>(),
        "age_seconds": age,
        "address": view.standing.and_then(|standing| standing.address),
        "events_waiting": events,
        "bytes_waiting": bytes,
    })
}

/// The page that `query` asks for, as JSON.
pub(super) async fn page(orders: &Orders, query: Option<&str>, now: Instant) -> Result<String, Refusal> {
    const BUSY: Refusal = (StatusCode::SERVICE_UNAVAILABLE, "the workers are too busy; please try again\n");
    let question = Question::read(query)?;
    let (limit, whom) = (question.limit, question.whom());
    let page = Arc::new(Page::default());
    let look = {
        let page = Arc::clone(&page);
        move |view: &View<'_>| {
            if question.asks_for(view) {
                page.take(view, limit, now);
            }
            Verdict::Keep
        }
    };
    let (done, looked) = oneshot::channel();
    let tell = |_kept| {
        // It fails when it took too long, and nobody waits any more.
        let _told = done.send(());
    };
    orders.give(whom, look, tell).map_err(|_busy| BUSY)?;
    timeout(LIMIT, looked).await.ok().and_then(Result::ok).ok_or(BUSY)?;
    let rows = std::mem::take(&mut *page.0.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Page(Mutex::new(rows)).into_json(limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::{self, HistoryConfig, Shard, StreamConfig, Subscriber, Subscription};
    use proptest::prelude::*;

    fn subscribe(shards: &[Shard], number: usize) -> (Uuid, Subscriber) {
        let connection_id = Uuid::new_v4();
        let user = Some(format!("u{}", number % 3).into());
        let channels = vec![format!("c{}", number % 2).into()];
        let subscription = Subscription { connection_id, user, channels, ..Subscription::default() };
        let shard = &shards[number % shards.len()];
        (connection_id, shard.subscribe(&subscription, None, Instant::now()).expect("room"))
    }

    /// Asks while the shards have their turns.
    fn ask(shards: &[Shard], orders: &Orders, query: &str) -> Result<Value, Refusal> {
        let mut asking = tokio_test::task::spawn(page(orders, Some(query), Instant::now()));
        for _ in 0..100 {
            if let std::task::Poll::Ready(answer) = asking.poll() {
                return answer.map(|text| serde_json::from_str(&text).expect("JSON"));
            }
            for shard in shards {
                shard.turn(Instant::now());
            }
        }
        Err((StatusCode::GATEWAY_TIMEOUT, "the shards did not answer"))
    }

    #[test]
    fn a_question_that_cannot_be_read_is_told_what_can() {
        for wrong in ["limit=0", "limit=1001", "limit=x", "after=x", "name=a"] {
            assert_eq!(Question::read(Some(wrong)).expect_err(wrong).0, StatusCode::BAD_REQUEST);
        }
        let question = Question::read(Some("user=a%2Eb&channel=news&limit=5")).expect("sound");
        let expected = Question { user: Some("a.b".into()), channel: Some("news".into()), after: None, limit: 5 };
        assert_eq!(question, expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Page after page, everybody who is asked for is listed once and nobody else.
        #[test]
        fn pages_put_together_are_everybody(
            streams in 0usize..40,
            limit in 1usize..12,
            user in proptest::option::of(0usize..4),
            channel in proptest::option::of(0usize..2),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let _entered = runtime.enter();
            let (_publisher, seeds, overview) = hub::open(&HistoryConfig::default(), &StreamConfig::default(), None, 2);
            let shards: Vec<_> = seeds.into_iter().map(|seed| seed.settle(Instant::now())).collect();
            let open: Vec<_> = (0..streams).map(|number| (number, subscribe(&shards, number))).collect();
            let mut expected: Vec<_> = open
                .iter()
                .filter(|(number, _)| user.is_none_or(|user| number % 3 == user))
                .filter(|(number, _)| channel.is_none_or(|channel| number % 2 == channel))
                .map(|(_, (connection, _))| connection.to_string())
                .collect();
            expected.sort();
            let filters = user.map(|user| format!("&user=u{user}")).unwrap_or_default()
                + &channel.map(|channel| format!("&channel=c{channel}")).unwrap_or_default();
            let (mut listed, mut after) = (Vec::new(), String::new());
            loop {
                let answer = ask(&shards, &overview.orders(), &format!("limit={limit}{filters}{after}")).expect("a page");
                let rows = answer["subscribers"].as_array().expect("a list");
                prop_assert!(rows.len() <= limit);
                listed.extend(rows.iter().map(|row| row["connectionId"].as_str().expect("an id").to_owned()));
                let Some(next) = answer["next"].as_str() else { break };
                prop_assert_eq!(rows.len(), limit, "only a full page has another one after it");
                after = format!("&after={next}");
            }
            prop_assert_eq!(listed, expected);
        }
    }
}
