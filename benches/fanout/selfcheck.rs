//! Proof that the benchmark would notice: injected faults must be counted, and a stream reads the same however it is cut.

use std::time::Duration;

use crate::client::Opening;
use crate::client::reader::{Malformed, Reader, Signal};
use crate::client::tally::{Faults, Tally};
use crate::control::Pace;
use crate::failure::Failure;
use crate::histogram::Histogram;
use crate::layout::{Layout, Shape};
use crate::options::{Inject, Role};
use crate::payload::{Payload, block};
use crate::session::{Load, Session};
use crate::signing::{Key, Signing};

/// Runs every check; the error names the first that failed.
pub fn run() -> Result<(), Failure> {
    check_reader()?;
    check_tally()?;
    check_histogram()?;
    check_keys()?;
    let clean = Faults::default();
    let channel = Layout { shape: Shape::Channels, topics: 1, streams: 10 };
    let mixed = Layout { shape: Shape::Mixed, topics: 4, streams: 10 };
    for (role, layout, inject, expected) in [
        (Role::Bare, channel, None, clean),
        (Role::BareMerged, mixed, None, clean),
        // Each of the ten streams of topic 0 is concerned …
        (Role::Bare, channel, Some(Inject::Lost), Faults { lost: 10, ..clean }),
        (Role::BareMerged, channel, Some(Inject::Doubled), Faults { doubled: 10, ..clean }),
        (Role::Bare, channel, Some(Inject::Disordered), Faults { disordered: 10, ..clean }),
        // … or the one of topic 3.
        (Role::Bare, mixed, Some(Inject::Doubled), Faults { doubled: 1, ..clean }),
    ] {
        let faults = faults_of(role, layout, inject)?;
        ensure(faults == expected, || format!("{} with {inject:?} counted {faults}", role.as_str()))?;
    }
    Ok(())
}

fn faults_of(role: Role, layout: Layout, inject: Option<Inject>) -> Result<Faults, Failure> {
    let signing = Signing::Hs256;
    let load = Load { role, threads: 2, division: None, signing, layout, generators: 2, unanswered: 10, inject };
    let mut session = Session::start(load)?;
    session.open()?;
    session.publish(Pace::Rate(500), Duration::from_millis(200))?;
    session.publish(Pace::Outstanding(8), Duration::from_millis(100))?;
    Ok(session.close()?.faults)
}

fn check_reader() -> Result<(), Failure> {
    let event = |seq| Payload { to: 7, seq, at: 1_234_567_890_123 };
    ensure(block(1, &event(0).write()).len() == 200, || "an event is not 200 bytes".into())?;
    let mut stream =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let both = [block(1, &event(0).write()), block(2, &event(1).write())].concat();
    for text in
        ["retry: 2000\nid: 0\nevent: connected\ndata: {}\n\n", ":\n\n", "id: 3\n\n", &both, "event: gap\ndata: {}\n\n"]
    {
        stream.extend(format!("{:X}\r\n{text}\r\n", text.len()).into_bytes());
    }
    stream.extend(b"0\r\n\r\n");
    let expected = [Signal::Connected, Signal::Event(event(0)), Signal::Event(event(1)), Signal::Gap];
    for cut in 1..stream.len() {
        let (mut reader, mut signals) = (Reader::new(Opening::Event), Vec::new());
        for part in stream.chunks(cut) {
            let fed = reader.feed(part, &mut |signal| signals.push(signal));
            ensure(fed == Ok(()), || format!("cut in parts of {cut}: {fed:?}"))?;
        }
        ensure(signals == expected && reader.ended(), || format!("cut in parts of {cut}: {signals:?}"))?;
    }
    let refused = Reader::new(Opening::Event).feed(b"HTTP/1.1 401 Unauthorized\r\n\r\n", &mut |_| {});
    ensure(matches!(refused, Err(Malformed::Refused(_))), || format!("a refusal was read as {refused:?}"))
}

fn check_tally() -> Result<(), Failure> {
    let mut tally = Tally::new(2);
    for seq in [0, 1, 5, 3, 3, 1, 6] {
        tally.event(0, seq);
    }
    let faults = tally.close(|stream| [9, 1][stream]);
    // 2, 4, 7 and 8 of the first stream, 0 of the second.
    let expected = Faults { lost: 5, doubled: 2, disordered: 1, ..Faults::default() };
    ensure(faults == expected, || format!("the tally counted {faults}"))
}

fn check_histogram() -> Result<(), Failure> {
    let mut histogram = Histogram::new();
    for value in 1..=100_000 {
        histogram.record(value * 1_000);
    }
    for (per_mille, exact) in [(500, 50_000_000), (990, 99_000_000), (1000, 100_000_000)] {
        let exact = Duration::from_nanos(exact);
        let found = histogram.quantile(per_mille);
        ensure(found >= exact && found <= exact + exact / 64, || format!("{per_mille} ‰ is {found:?}, not {exact:?}"))?;
    }
    Ok(())
}

fn check_keys() -> Result<(), Failure> {
    for signing in [Signing::Hs256, Signing::Rs256, Signing::Es256] {
        let key = signing.key()?;
        let read: Key = key.to_string().parse()?;
        ensure(read == key && key.signing() == signing, || {
            format!("the key of {} was not read as it is", signing.as_str())
        })?;
        let token = signing.token("ada")?;
        ensure(token.split('.').count() == 3, || format!("no token: {token}"))?;
    }
    Ok(())
}

fn ensure(holds: bool, problem: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::SelfCheck(problem())) }
}
