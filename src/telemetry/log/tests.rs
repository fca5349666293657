//! Levels, forms, and who may not speak whatever the level.

use std::io::Write;
use std::sync::Mutex;

use tracing::subscriber::with_default;

use super::*;

/// What was written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
    }
}

fn started(level: &str, json: bool) -> (impl Subscriber + Send + Sync, Controls, Paper) {
    let paper = Paper::default();
    let writer = paper.clone();
    let (subscriber, controls) = subscriber(filter(level).unwrap(), json, move || writer.clone());
    (subscriber, controls, paper)
}

#[test]
fn a_level_is_read_or_refused() {
    for level in ["info", "INFO", "debug,cottontail=trace", "info,cottontail::broker=debug"] {
        assert!(filter(level).is_some(), "{level}");
    }
    for level in ["loud=very", "ä", "info,\u{a0}=debug", "a=b\u{1F407}"] {
        assert!(filter(level).is_none(), "{level}");
        assert_eq!(set_level(level).unwrap_err().key, "log.level");
    }
}

#[test]
fn level_and_form_change_while_the_program_runs() {
    let (subscriber, controls, paper) = started("info", false);
    with_default(subscriber, || {
        let say = || {
            let _span = tracing::info_span!("request", id = 7).entered();
            tracing::debug!(number = 1, "in detail");
            tracing::info!(number = 2, "in short");
        };
        say();
        let text = paper.take();
        assert!(text.contains("in short") && !text.contains("detail"), "{text}");
        controls.set_filter(filter("debug").unwrap());
        say();
        assert!(paper.take().contains("in detail"));
        let open = tracing::info_span!("older than the change").entered();
        controls.json.store(true, Ordering::Relaxed);
        say();
        drop(open);
        let lines = paper.take();
        let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&line["message"], &line["number"], &line["level"]),
            (&"in detail".into(), &1.into(), &"DEBUG".into())
        );
        controls.set_filter(filter("warn").unwrap());
        say();
        assert_eq!(paper.take(), "");
    });
}

#[test]
fn no_directive_lets_a_library_print_a_secret() {
    for level in ["trace", "lapin=trace", "lapin::channels=trace", "trace,lapin=trace,hyper=trace", "[request]=trace"] {
        let (subscriber, _controls, paper) = started(level, false);
        with_default(subscriber, || {
            let _span = tracing::error_span!("request").entered();
            tracing::trace!(target: "lapin::channels", "secret");
            tracing::error!(target: "lapin", "secret");
            tracing::trace!(target: "amq_protocol", "secret");
            tracing::debug!(target: "hyper::proto", "secret");
            tracing::trace!(target: "h2", "secret");
            tracing::error!(target: "hyper", "aloud");
            tracing::trace!(target: "cottontail::access", "ours");
        });
        let written = paper.take();
        assert!(!written.contains("secret"), "{level}: {written}");
        assert_eq!(written.contains("ours"), !level.starts_with("lapin"), "{level}: {written}");
    }
}
