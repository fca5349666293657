//! Tidiness as a test: the order of rooms, the purity of the core and the form of every file, and proof that violations are seen.
#![allow(clippy::panic, reason = "a test fails by panicking")]

mod rules;
mod source;

use std::path::Path;

use rules::{Violation, form, judge, order, panics, purity};
use source::Source;

#[test]
fn the_house_keeps_its_rules() {
    let sources = Source::all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let words: usize = sources.iter().map(|source| source.words.len()).sum();
    assert!(sources.len() > 50 && words > 10_000, "the sources were read: {} files, {words} words", sources.len());
    let violations: Vec<String> = sources.iter().flat_map(judge).map(|violation| violation.to_string()).collect();
    assert!(violations.is_empty(), "{} violations\n{}", violations.len(), violations.join("\n"));
}

/// What a rule says of a made-up file.
fn said(rule: fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> Vec<String> {
    rule(&Source::parse(path, text)).iter().map(ToString::to_string).collect()
}

#[test]
fn a_room_that_uses_one_to_its_right_or_beside_it_is_seen_in_every_spelling() {
    for (path, text, expected) in [
        ("sse.rs", "use crate::hub::Shard;", "src/sse.rs:1: `sse` must not use `hub`"),
        ("sse.rs", "\nuse crate::{\n    event::EventId,\n    auth,\n};", "src/sse.rs:4: `sse` must not use `auth`"),
        ("broker/link.rs", "fn f() { crate::server::run(); }", "src/broker/link.rs:1: `broker` must not use `server`"),
        ("server/mod.rs", "use crate::{hub, broker::{Link}};", "src/server/mod.rs:1: `server` must not use `broker`"),
        ("hub/mod.rs", "use super::config;", "src/hub/mod.rs:1: `hub` must not use `config`"),
        ("hub/ring.rs", "use super::super::{server};", "src/hub/ring.rs:1: `hub` must not use `server`"),
        ("event.rs", "use super::topic;", "src/event.rs:1: `event` must not use `topic`"),
        ("topic.rs", "mod inner { pub(in crate::app) fn f() {} }", "src/topic.rs:1: `topic` must not use `app`"),
        (
            "routing/rule.rs",
            "#[error(\"{x}\", x = crate::hub::X)] struct E;",
            "src/routing/rule.rs:1: `routing` must not use `hub`",
        ),
        ("hub/mod.rs", "use crate::elsewhere::X;", "src/hub/mod.rs:1: `elsewhere` is no room"),
        ("attic/mod.rs", "", "src/attic/mod.rs:1: the room `attic` has no place in the order of rooms"),
    ] {
        assert_eq!(said(order, path, text), [expected], "{text}");
    }
}

#[test]
fn rooms_to_the_left_ones_own_room_and_tests_are_free() {
    for (path, text) in [
        ("hub/ring.rs", "use super::core; use crate::hub::inbox; use crate::{event::{self, X}, sse};"),
        ("hub/ring.rs", "#[cfg(test)] mod tests { use crate::server; }"),
        ("hub/ring.rs", "#[cfg(test)] use crate::{server, app}; #[cfg(test)] fn f<A, B>() -> crate::app::X { }"),
        ("hub/tests.rs", "use crate::server;"),
        ("hub/ring.rs", "// crate::server\n/// [`crate::server`]\npub(crate) fn f() { g(\"crate::server\") }"),
        ("main.rs", "use cottontail::app::App;"),
    ] {
        assert_eq!(said(order, path, text), [""; 0], "{text}");
    }
}

#[test]
fn what_follows_something_for_tests_only_is_still_read() {
    for text in [
        "#[cfg(test)]\nuse a::{b};\nuse crate::app::X;",
        "#[cfg(test)] #[allow(x)]\nmod tests { }\nuse crate::app::X;",
        "impl Y { #[cfg(test)] fn f() {}\n\nfn g() { crate::app::g() } }",
        "struct S { #[cfg(test)] a: u8,\n\nb: crate::app::X }",
        "#[cfg(test)]\nmod tests;\nuse crate::app::X;",
        "\n#[cfg(not(test))]\nuse crate::app::X;",
    ] {
        assert_eq!(said(order, "hub/ring.rs", text), ["src/hub/ring.rs:3: `hub` must not use `app`"], "{text}");
    }
}

#[test]
fn clocks_sockets_threads_and_waiting_are_seen_in_pure_rooms() {
    for (path, text, code) in [
        ("sse.rs", "\nasync fn f() {}", "async"),
        ("topic.rs", "\nuse tokio::sync::Notify;", "tokio"),
        ("routing/mod.rs", "\nuse std::{fmt, net::IpAddr};", "std::net"),
        ("event.rs", "\nfn f() { let now = std::time::Instant::now(); }", "Instant::now"),
        ("setting.rs", "\nfn f() { SystemTime::now() }", "SystemTime::now"),
        ("auth/token.rs", "\nfn f(start: Instant) { start.elapsed() }", ".elapsed()"),
        ("auth/token.rs", "\nuse std::time::Instant as Clock;", "Instant as"),
        ("sse.rs", "\nuse http::HeaderMap;", "http"),
        ("hub/ring.rs", "\nuse tokio::sync::Notify;", "tokio"),
        ("hub/inbox.rs", "\nuse tokio::sync::{Notify, mpsc};", "tokio"),
        ("hub/shard.rs", "\nasync fn fill() {}", "async"),
        ("hub/shard.rs", "\nuse std::thread;", "std::thread"),
    ] {
        let room = path.split(['/', '.']).next().unwrap_or_default();
        let expected = format!("src/{path}:2: `{code}` does not belong into the pure room `{room}`");
        assert_eq!(said(purity, path, text), [expected], "{text}");
    }
    for (path, text) in [
        ("auth/credentials.rs", "use http::HeaderMap; use std::time::SystemTime; fn f(now: SystemTime) {}"),
        ("hub/inbox.rs", "use tokio::sync::Notify; async fn filled(&self) { self.filled.notified().await; }"),
        ("server/worker.rs", "async fn f() { std::net::x(); Instant::now() }"),
        ("sse.rs", "#[cfg(test)] mod tests { async fn f() { Instant::now() } }"),
    ] {
        assert_eq!(said(purity, path, text), [""; 0], "{text}");
    }
}

#[test]
fn files_without_a_sentence_too_long_or_named_after_nothing_are_seen() {
    let sentence = "src/hub/ring.rs:1: the first line is not a `//!` sentence that says what lives here";
    for text in ["", "use std::fmt;", "// The ring.", "//! The ring", "\n//! The ring.", "//!"] {
        assert_eq!(said(form, "hub/ring.rs", text), [sentence], "{text}");
    }
    let long = "//! The ring.\n".to_owned() + &"\n".repeat(449);
    assert_eq!(said(form, "hub/ring.rs", &long), ["src/hub/ring.rs:450: 450 lines; split it before 450"]);
    assert_eq!(said(form, "hub/ring.rs", &long[..long.len() - 1]), [""; 0]);
    let named = "src/hub/util/ring.rs:1: `util` says nothing about what lives here";
    assert_eq!(said(form, "hub/util/ring.rs", "//! The ring."), [named]);
    let untested = "src/hub/mod.rs:2: `mod tests` without `#[cfg(test)]`";
    assert_eq!(said(form, "hub/mod.rs", "//! The hub.\nmod tests;"), [untested]);
    assert_eq!(said(form, "hub/mod.rs", "//! The hub.\n#[cfg(test)]\nmod tests;"), [""; 0]);
}

#[test]
fn what_blocks_or_panics_is_seen_outside_tests() {
    for (text, rule) in [
        ("\nfn f() { std::thread::sleep(x) }", "`thread::sleep` blocks a worker and every stream on it"),
        ("\nuse std::{thread::{self, sleep}};", "`thread::sleep` blocks a worker and every stream on it"),
        ("fn f() {\n    x().unwrap() }", "`unwrap` does not say why it cannot fail"),
        ("fn f() {\n    x()\n.unwrap_err() }", "`unwrap_err` does not say why it cannot fail"),
        ("\nunsafe fn f() {}", "no unsafe code"),
    ] {
        let line = 2 + usize::from(rule.contains("unwrap_err"));
        assert_eq!(said(panics, "server/worker.rs", text), [format!("src/server/worker.rs:{line}: {rule}")], "{text}");
    }
    let fine = "fn f() { x().unwrap_or_default(); \"unwrap()\" } #[cfg(test)] mod tests { fn f() { x().unwrap() } }";
    assert_eq!(said(panics, "server/worker.rs", fine), [""; 0]);
}
