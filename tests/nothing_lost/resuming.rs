//! Ids of every kind, said in every way, at either replica: a proven resumption, or a gap.

use crate::browser::Browser;
use crate::promise::{History, Promise};
use crate::trial::{Plan, Trial};

const FEW: Plan = Plan { browsers: 10, per_second: 300, ..Plan::USUAL };

/// A browser for each way to say `id`, with the events of the crowd's first.
fn say(trial: &mut Trial, id: &str) -> Vec<Browser> {
    let wants = trial.browsers[0].wants.clone();
    let mut ways = vec![(trial.request("/events", &wants), id)];
    for parameter in ["lastEventId", "last_event_id"] {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(parameter, id);
        ways.push((trial.request(&format!("/events?{}", query.finish()), &wants), ""));
    }
    let name: String = id.chars().take(40).collect();
    ways.into_iter().map(|(request, header)| trial.open(&format!("with {name:?}"), request, &wants, header)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_of_any_age_resumes_after_it_however_it_is_said() {
    let mut trial = Trial::on_shared_node(FEW).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        trial.flows(100).await;
        ids.push(trial.browsers[0].last_event().await);
    }
    let promise = trial.history.keeps_everything();
    let mut late = Vec::new();
    for (number, id) in ids {
        late.extend(say(&mut trial, &id).into_iter().map(|browser| (browser, promise, number + 1)));
    }
    trial.flows(100).await;
    trial.finish_with(promise, late).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_proves_nothing_is_told_by_one_gap_and_never_waited_for() {
    let mut trial = Trial::on_shared_node(FEW).await;
    trial.flows(100).await;
    let (_, id) = trial.browsers[0].last_event().await;
    let (mark, position) = id.split_once('-').expect("mark and position");
    let offset: u64 = position.parse().expect("a message has one event here");
    let foreign = u64::from_str_radix(mark, 16).expect("hexadecimal digits") ^ 1;
    let mut ids = vec![
        format!("{mark}-{}", offset + 1_000_000),
        format!("{mark}-{}", u64::MAX),
        format!("{foreign:x}-{offset}"),
        format!("{foreign:x}-0"),
        format!("{}-{offset}", &mark[1..]),
        format!("{offset}"),
        "not an id".into(),
        "-".into(),
        "\u{1F407}".into(),
        "x".repeat(2000),
    ];
    if trial.history == History::Stream {
        // In memory this is the id of an older message, if of any.
        ids.push(format!("{mark}-{}", offset / 10));
    }
    let mut late = Vec::new();
    for id in ids {
        for browser in say(&mut trial, &id) {
            let from = browser.hears_of_a_gap().await;
            assert!(id.starts_with(&from), "{} heard of a gap from {from:?}", browser.name);
            late.push((browser, Promise::OneGap, 0));
        }
    }
    trial.flows(100).await;
    let promise = trial.history.keeps_everything();
    trial.finish_with(promise, late).await;
}
