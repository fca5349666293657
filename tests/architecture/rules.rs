//! The rules of the house, each from a source file to its violations; which files there are is not known here.

use std::fmt;

use crate::source::Source;

/// Each room uses only rooms of the lines above its own; those of one line never name each other.
const ORDER: [&[&str]; 11] = [
    &["lib", "event", "setting", "topic", "trust"],
    &["shutdown", "telemetry"],
    &["routing", "sse", "auth", "proxy"],
    &["explain", "provider"],
    &["hub"],
    &["control"],
    &["broker", "server"],
    &["config"],
    &["app"],
    &["cli"],
    &["main"],
];

const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now", ".elapsed()", "Instant as", "SystemTime as"];
const SOCKETS: &[&str] = &["std::net", "std::os", "socket2", "tokio::net", "hyper", "hyper_util", "lapin"];
const THREADS: &[&str] = &["std::thread", "std::process", "tokio::spawn", "tokio::task", "tokio::time"];
const WAITING: &[&str] = &["async", "await", "tokio", "futures_util"];
const HTTP: &[&str] = &["http", "http_body", "http_body_util"];

/// What a room does without, so that it can be tested without a broker, a browser and a wait.
const PURE: [(&[&str], &[&[&str]]); 3] = [
    (&["event", "setting", "topic", "routing", "sse", "explain"], &[CLOCKS, SOCKETS, THREADS, WAITING, HTTP]),
    // It reads a request's headers.
    (&["auth"], &[CLOCKS, SOCKETS, THREADS, WAITING]),
    (&["hub"], &[CLOCKS, SOCKETS, THREADS, WAITING, HTTP]),
];

/// Where a pure room may wait, and why: the file, the code, and the code's following words.
const EXCEPTIONS: [(&str, &str, &str); 16] = [
    // A thread waits for the other side of the inbox, whichever runtime either has.
    ("hub/inbox.rs", "tokio", "::sync::Notify"),
    ("hub/inbox.rs", "async", "fn filled"),
    ("hub/inbox.rs", "async", "fn room"),
    ("hub/inbox.rs", "async", "fn room_for_orders"),
    ("hub/inbox.rs", "await", ";"),
    // An address is data.
    ("hub/standing.rs", "std::net", "::IpAddr"),
    // What an archive reads comes through a bounded channel, whichever runtime fills it.
    ("hub/archive.rs", "tokio", "::sync::mpsc::Receiver"),
    // Whoever gives orders waits for all inboxes, as the publisher does.
    ("hub/order.rs", "async", "fn room"),
    ("hub/order.rs", "await", ";"),
    // Whoever follows waits for somebody to come or go, whichever runtime it has.
    ("hub/presence.rs", "tokio", "::sync::Notify"),
    ("hub/presence.rs", "async", "fn changed"),
    ("hub/presence.rs", "await", ";"),
    ("hub/publisher.rs", "async", "fn ready"),
    ("hub/publisher.rs", "await", ";"),
    ("hub/shard.rs", "async", "fn filled"),
    ("hub/shard.rs", "await", ";"),
];

const MAX_LINES: usize = 450;

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: [&str; 7] = ["manager", "helper", "helpers", "util", "utils", "common", "types"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}", self.path, self.line, self.rule)
    }
}

fn violation(source: &Source, line: usize, rule: impl Into<String>) -> Violation {
    Violation { path: source.path.clone(), line, rule: rule.into() }
}

/// All rules.
pub(crate) fn judge(source: &Source) -> Vec<Violation> {
    [order(source), purity(source), form(source), panics(source)].concat()
}

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&room))
}

/// Rooms are used one way only.
pub(crate) fn order(source: &Source) -> Vec<Violation> {
    let room = source.room();
    let Some(own) = rank(room) else {
        return vec![violation(source, 1, format!("the room `{room}` has no place in the order of rooms"))];
    };
    let mut violations = Vec::new();
    for (used, line) in rooms_used(source) {
        match rank(&used) {
            _ if used == room => {}
            Some(other) if other < own => {}
            Some(_) => violations.push(violation(source, line, format!("`{room}` must not use `{used}`"))),
            None => violations.push(violation(source, line, format!("`{used}` is no room"))),
        }
    }
    violations
}

/// The name after each `crate::`, and after each chain of `super::` that leaves the room.
fn rooms_used(source: &Source) -> Vec<(String, usize)> {
    let words = &source.words;
    let mut used = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let root = if words[at].text == "super" { "super" } else { "crate" };
        let steps =
            words[at..].chunks(2).take_while(|pair| pair.len() == 2 && pair[0].text == root && pair[1].text == "::");
        let steps = steps.count();
        let leaves = steps > 0 && (root == "crate" || steps >= source.depth());
        at += 2 * steps;
        if let Some(name) = words.get(at).filter(|_| leaves) {
            used.push((name.text.clone(), name.line));
        }
        at += usize::from(steps == 0);
    }
    used
}

/// Pure rooms neither wait nor look at a clock nor open a socket.
pub(crate) fn purity(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (rooms, bans) in PURE {
        if !rooms.contains(&source.room()) {
            continue;
        }
        for code in bans.iter().copied().flatten() {
            let mut lines = source.lines_with(code);
            for (path, excepted, rest) in EXCEPTIONS {
                if path == source.path && excepted == *code {
                    for allowed in source.lines_with(&format!("{code} {rest}")) {
                        let found = lines.iter().position(|line| *line == allowed).expect("a longer match is a match");
                        lines.remove(found);
                    }
                }
            }
            let rule = format!("`{code}` does not belong into the pure room `{}`", source.room());
            violations.extend(lines.into_iter().map(|line| violation(source, line, &rule)));
        }
    }
    violations
}

/// Files are short, say what lives in them, and keep their tests to tests.
pub(crate) fn form(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    let first = source.text.lines().next().unwrap_or_default();
    let is_sentence = first.strip_prefix("//! ").is_some_and(|sentence| sentence.ends_with('.'));
    if !is_sentence {
        violations.push(violation(source, 1, "the first line is not a `//!` sentence that says what lives here"));
    }
    let lines = source.text.lines().count();
    if lines >= MAX_LINES {
        violations.push(violation(source, lines, format!("{lines} lines; split it before {MAX_LINES}")));
    }
    if let Some(name) = source.path.split(['/', '.']).find(|name| EMPTY_NAMES.contains(name)) {
        violations.push(violation(source, 1, format!("`{name}` says nothing about what lives here")));
    }
    let untested = source.lines_with("mod tests").into_iter();
    violations.extend(untested.map(|line| violation(source, line, "`mod tests` without `#[cfg(test)]`")));
    violations
}

/// Nothing blocks a worker's thread, and nothing panics without saying why it cannot.
pub(crate) fn panics(source: &Source) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (code, rule) in [
        ("thread::sleep", "`thread::sleep` blocks a worker and every stream on it"),
        (".unwrap()", "`unwrap` does not say why it cannot fail"),
        (".unwrap_err()", "`unwrap_err` does not say why it cannot fail"),
        ("unsafe", "no unsafe code"),
    ] {
        violations.extend(source.lines_with(code).into_iter().map(|line| violation(source, line, rule)));
    }
    violations
}
