//! Layers, unknown keys and ill-typed values, each fault with where it was written.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::setting::{Secret, Span};

const MARKER: &str = "Hunter2Marker";
const MAPPING: &str = "[[mapping]]\nrouting_key = \"a.{user}\"\nuser = \"{user}\"\n";

fn draft(text: &str, environment: &[(&str, &str)]) -> Draft {
    let environment: Vec<(OsString, OsString)> =
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let file = File { name: "config.toml".into(), text: text.into() };
    Draft::compose(Ok(Some(file)), &environment, &[])
}

fn config(text: &str, environment: &[(&str, &str)]) -> Config {
    let draft = draft(text, environment);
    let values: Vec<_> = draft.faults.iter().filter(|fault| !is_missing(fault)).collect();
    assert!(values.is_empty(), "{values:?}");
    draft.config
}

/// The faults that a text without mapping and issuer has besides those a test is about.
fn is_missing(fault: &Fault) -> bool {
    fault.key == "mapping" || fault.key == "auth.issuer"
}

fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    draft(text, environment).faults.iter().filter(|fault| !is_missing(fault)).map(ToString::to_string).collect()
}

fn shipped() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml")).unwrap()
}

/// The shipped file with its examples taken out of their comments.
fn shipped_in_full() -> String {
    let example =
        |line: &str| line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| !c.is_whitespace()));
    shipped().lines().map(|line| if example(line) { &line[1..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_shipped_file_is_equal_to_the_defaults() {
    assert_eq!(config(&shipped(), &[]), Config::default());
}

#[test]
fn the_shipped_file_has_every_key_and_each_has_a_comment_the_first_time() {
    let text = shipped_in_full();
    let mut origins = Origins::default();
    origins.record(&[], &Value::from(Toml::from_str::<Dict>(&text).unwrap()), "file");
    for key in Shape::new().keys() {
        let tables =
            ["auth.issuer", "mapping", "endpoint"].iter().find_map(|table| key.strip_prefix(&format!("{table}.0.")));
        let written = (0..3).any(|index| origins.of_exactly(&key.replacen(".0.", &format!(".{index}."), 1)).is_some());
        assert!(written, "{key} is not in config.toml");
        let name = tables.unwrap_or_else(|| key.rsplit('.').next().unwrap());
        let lines: Vec<&str> = text.lines().collect();
        let assigned = |line: &&str| line.starts_with(&format!("{name} = "));
        let commented = |at: usize| lines[at - 1].starts_with("# ");
        let is_table = lines.iter().any(|line| line.trim_matches(['[', ']']) == key);
        let explained = lines.iter().enumerate().any(|(at, line)| assigned(line) && commented(at));
        assert!(is_table || explained, "{key} has no comment in config.toml");
    }
}

#[test]
fn the_examples_in_the_shipped_file_are_sound() {
    let found = faults(&shipped_in_full(), &[]);
    assert_eq!(found, [""; 0]);
    assert_eq!(draft(&shipped_in_full(), &[]).config.mapping.len(), 3);
}

#[test]
fn each_layer_overrides_those_before_it() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nthreads = 3\n[broker]\nexchange = \"file\"";
    let environment = [("COTTONTAIL__SERVER__LISTEN", "127.0.0.1:2"), ("COTTONTAIL__BROKER__EXCHANGE", "variable")];
    let flag = Flag { name: "--listen", key: "server.listen", value: "127.0.0.1:3".into() };
    let file = File { name: "config.toml".into(), text: file.into() };
    let environment = environment.map(|(name, value)| (name.into(), value.into()));
    let draft = Draft::compose(Ok(Some(file)), &environment, &[flag]);
    assert_eq!(draft.config.server.listen.port(), 3);
    assert_eq!(draft.config.server.threads, 3);
    assert_eq!(draft.config.broker.exchange, "variable");
    assert_eq!(draft.config.server.grace, Config::default().server.grace);
    assert_eq!(draft.origins.of("server.listen"), Some("--listen"));
    assert_eq!(draft.origins.of("server.threads"), Some("config.toml"));
    assert_eq!(draft.origins.of("broker.exchange"), Some("COTTONTAIL__BROKER__EXCHANGE"));
    assert_eq!(draft.origins.of("server.grace"), None);
}

#[test]
fn a_complete_configuration_loads() {
    let text = format!("{MAPPING}[[auth.issuer]]\nalgorithms = [\"HS256\"]\nsecret = \"s\"\n");
    let loaded = draft(&text, &[]).finish().unwrap();
    assert_eq!(loaded.config.mapping[0].user.0, ["{user}"]);
    assert_eq!(loaded.origins.of("mapping.0.channel"), Some("config.toml"));
}

#[test]
fn all_faults_come_at_once_with_key_and_place() {
    let text = r#"
        [broker]
        exchnage = "x"
        prefetch = 70000
        [server]
        threads = "many"
        header_timeout = 5
        max_header_bytes = "a lot"
        listen = "here"
        [history]
        kind = "disk"
        [cors]
        origins = ["https://a.example", 3]
        [endpoint]
        path = "/x"
        [[admin]]
        [[mapping]]
        user = 3
        contineu = true
    "#;
    let environment = [("COTTONTAIL__STREAM__QUEUE_EVENTS", "0"), ("COTTONTAIL__STREAM__RETRIES", "0")];
    let mut expected = [
        "broker.exchnage: there is no such setting; did you mean `broker.exchange`? (config.toml)",
        "broker.prefetch: expected a whole number from 0 to 65535 (config.toml)",
        "server.threads: expected a whole number (config.toml)",
        "server.header_timeout: expected a value such as \"30s\" (config.toml)",
        "server.max_header_bytes: expected a value such as \"32.0 KiB\" (config.toml)",
        "server.listen: expected a value such as \"0.0.0.0:8080\" (config.toml)",
        "history.kind: expected one of stream, memory (config.toml)",
        "cors.origins.1: expected text in quotes (config.toml)",
        "endpoint: expected a list of tables, each headed [[endpoint]] (config.toml)",
        "admin: expected a table of settings, with one pair of brackets (config.toml)",
        "mapping.0.user: expected a string or a list of strings (config.toml)",
        "mapping.0.contineu: there is no such setting; did you mean `mapping.0.continue`? (config.toml)",
        "stream.queue_events: must be at least 1 (COTTONTAIL__STREAM__QUEUE_EVENTS)",
        "stream.retries: there is no such setting; did you mean COTTONTAIL__STREAM__RETRY? (COTTONTAIL__STREAM__RETRIES)",
    ];
    expected.sort_unstable();
    let mut found = faults(text, &environment);
    found.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn only_two_underscores_make_a_setting() {
    let environment = [("COTTONTAIL_PORT", "tcp://10.0.0.1:80"), ("COTTONTAIL_SERVICE_HOST", "x"), ("PATH", "/bin")];
    assert_eq!(config("", &environment), Config::default());
    let found = faults("", &[("COTTONTAIL__BROKER_EXCHANGE", "x")]);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("did you mean COTTONTAIL__BROKER__EXCHANGE?"), "{found:?}");
}

#[test]
fn a_secret_of_digits_arrives_as_it_is_written() {
    let secret = |text| config("", &[("COTTONTAIL__AUTH__ISSUER__0__SECRET", text)]).auth.issuer[0].secret.clone();
    for text in ["0123456789", "1e5", "true", "[1]", " padded ", "007", "0x10", "a=b,c"] {
        assert_eq!(secret(text), Some(Secret::new(text)));
    }
    let found = faults("[[auth.issuer]]\nsecret = 123456789", &[]);
    assert_eq!(found, ["auth.issuer.0.secret: expected a string (a secret, so it is not shown) (config.toml)"]);
}

#[test]
fn lists_are_written_with_commas_or_as_json() {
    let origins = |text| config("", &[("COTTONTAIL__CORS__ORIGINS", text)]).cors.origins;
    assert_eq!(origins(r#"["https://a"]"#), ["https://a"]);
    assert_eq!(origins("https://a, https://b"), ["https://a", "https://b"]);
    assert!(origins("").is_empty());
    let urls = config("", &[("COTTONTAIL__BROKER__URLS", "amqp://a,amqp://b")]).broker.urls;
    assert_eq!(urls, [Secret::new("amqp://a"), Secret::new("amqp://b")]);
    assert_eq!(faults("", &[("COTTONTAIL__CORS__ORIGINS", "[a]")]).len(), 1);
    assert_eq!(faults("", &[("COTTONTAIL__BROKER__URLS__0", "amqp://a")]).len(), 1);
}

#[test]
fn truth_numbers_times_and_sizes_are_read_from_variables() {
    let read = config(
        "",
        &[
            ("COTTONTAIL__AUTH__ANONYMOUS", "true"),
            ("COTTONTAIL__SERVER__THREADS", "4"),
            ("COTTONTAIL__STREAM__HEARTBEAT", "1500ms"),
            ("COTTONTAIL__HISTORY__MEMORY", "1048576"),
            ("COTTONTAIL__LOG__FORMAT", "json"),
        ],
    );
    assert!(read.auth.anonymous);
    assert_eq!(read.server.threads, 4);
    assert_eq!(read.stream.heartbeat, Span::from_millis(1500));
    assert_eq!(read.history.memory, bytesize::ByteSize::mib(1));
    assert_eq!(faults("", &[("COTTONTAIL__AUTH__ANONYMOUS", "maybe")]).len(), 1);
    assert_eq!(faults("", &[("COTTONTAIL__SERVER__THREADS", "-1")]).len(), 1);
    assert_eq!(faults("", &[("COTTONTAIL__SERVER", "x")]).len(), 1);
}

#[test]
fn an_index_changes_one_table_or_appends_the_next() {
    let file = "[[auth.issuer]]\nalgorithms = [\"HS256\"]\nissuer = \"first\"\n";
    let environment = [
        ("COTTONTAIL__AUTH__ISSUER__1__AUDIENCE", "a,b"),
        ("COTTONTAIL__AUTH__ISSUER__0__SECRET", "one"),
        ("COTTONTAIL__AUTH__ISSUER__1__SECRET", "two"),
        ("COTTONTAIL__ENDPOINT__0__CHANNELS", "news"),
        ("COTTONTAIL__ENDPOINT__1__PATH", "/more"),
    ];
    let draft = draft(file, &environment);
    let issuers = &draft.config.auth.issuer;
    assert_eq!((issuers.len(), issuers[0].issuer.as_str()), (2, "first"));
    assert_eq!(issuers[0].secret, Some(Secret::new("one")));
    assert_eq!(issuers[1].audience, ["a", "b"]);
    assert_eq!(issuers[1].secret, Some(Secret::new("two")));
    let endpoints = &draft.config.endpoint;
    assert_eq!((endpoints[0].path.as_str(), endpoints[1].path.as_str()), ("/events", "/more"));
    assert_eq!(endpoints[0].channels, ["news"]);
    assert_eq!(draft.origins.of("auth.issuer.0.issuer"), Some("config.toml"));
    assert_eq!(draft.origins.of("auth.issuer.0.secret"), Some("COTTONTAIL__AUTH__ISSUER__0__SECRET"));
}

#[test]
fn the_eleventh_table_comes_after_the_tenth() {
    let names: Vec<String> = (0..12).map(|at| format!("COTTONTAIL__MAPPING__{at}__ROUTING_KEY")).collect();
    let environment: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "a")).collect();
    assert_eq!(config("", &environment).mapping.len(), 12);
    let found = faults("", &[("COTTONTAIL__MAPPING__2__ROUTING_KEY", "a")]);
    assert_eq!(found, ["mapping.2.routing_key: there is no mapping.0 before it (COTTONTAIL__MAPPING__2__ROUTING_KEY)"]);
}

#[test]
fn a_named_file_that_is_missing_is_a_fault_and_an_unnamed_one_is_not() {
    let named = PathBuf::from("/nonexistent/cottontail.toml");
    let found = Config::load(&Sources { file: Some(named), ..Sources::default() }).unwrap_err();
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().starts_with("/nonexistent/cottontail.toml: cannot be read"), "{found:?}");
    assert_eq!(Draft::compose(Ok(None), &[], &[]).config, Config::default());
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line_and_hides_no_fault_of_the_environment() {
    let found = faults("[server]\nthreads = \n", &[("COTTONTAIL__SERVER__THREADZ", "1")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("config.toml: line 2: "), "{found:?}");
}

/// Everything about a draft that could be printed.
fn printed(draft: &Draft) -> String {
    format!("{draft:?} {draft:#?}") + &said(draft)
}

fn said(draft: &Draft) -> String {
    let mut text = String::new();
    for fault in &draft.faults {
        writeln!(text, "{fault} {fault:?}").unwrap();
    }
    text
}

#[test]
fn no_secret_is_printed_wherever_it_is_put() {
    let keys = Shape::new().keys();
    for value in [format!("\"{MARKER}\""), format!("[\"{MARKER}\"]"), format!("{{ a = \"{MARKER}\" }}"), MARKER.into()]
    {
        for key in &keys {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
            let header = match table.strip_suffix(".0") {
                Some(list) => format!("[[{list}]]\n"),
                None if table.is_empty() => String::new(),
                None => format!("[{table}]\n"),
            };
            let draft = draft(&format!("{header}{name} = {value}\n"), &[]);
            // Where any text is right, it is shown when the configuration is; what is wrong with it never is.
            let faults = said(&draft);
            assert!(!faults.contains(MARKER), "{key} = {value}: {faults}");
        }
    }
    for key in &keys {
        let variable = format!("COTTONTAIL__{}", key.to_uppercase().replace('.', "__"));
        for value in
            [MARKER.to_owned(), format!("[{MARKER}"), format!("[\"{MARKER}\"]"), format!("[{{\"a\":\"{MARKER}\"}}]")]
        {
            let draft = draft("", &[(&variable, &value)]);
            let faults = said(&draft);
            assert!(!faults.contains(MARKER), "{variable}={value}: {faults}");
        }
    }
}

#[test]
fn a_secret_in_its_own_place_or_near_it_is_printed_by_nothing() {
    for text in [
        format!("[[auth.issuer]]\nsecret = \"{MARKER}\""),
        format!("[[auth.issuer]]\nsecret = [\"{MARKER}\"]"),
        format!("[[auth.issuer]]\nsecret = {MARKER}"),
        format!("[[auth.issuer]]\nsecret = \"{MARKER}"),
        format!("[[auth.issuer]]\nsecret = \"{MARKER}\" x"),
        format!("[[auth.issuer]]\nsecret = \"\\q{MARKER}\""),
        format!("[[auth.issuer]]\nsecret = \"a\"\nsecret = \"{MARKER}\""),
        format!("[[auth.issuer]]\nsecrte = \"{MARKER}\""),
        format!("[auth]\nsecret = \"{MARKER}\""),
        format!("[auth]\nissuer = \"{MARKER}\""),
        format!("[auth]\nissuer = [\"{MARKER}\"]"),
        format!("[broker]\nurls = \"amqp://u:{MARKER}@h\""),
        format!("[broker]\nurls = [\"amqp://u:{MARKER}@h\"]"),
        format!("[broker]\nurls = [\"http://u:{MARKER}@h\", 5]"),
        format!("[broker]\nurls = [{{ url = \"amqp://u:{MARKER}@h\" }}]"),
        format!("[broker]\nurl = \"amqp://u:{MARKER}@h\""),
    ] {
        let draft = draft(&text, &[]);
        assert!(!printed(&draft).contains(MARKER), "{text}\n{}", printed(&draft));
    }
    for name in
        ["BROKER__URLS", "BROKER__URL", "BROKER__URLS__0", "AUTH__ISSUER", "AUTH__ISSUER__0__SECRET", "AUTH__SECRET"]
    {
        let draft = draft("", &[(&format!("COTTONTAIL__{name}"), MARKER)]);
        assert!(!printed(&draft).contains(MARKER), "{name}\n{}", printed(&draft));
    }
}

/// Text that gets past the parser more often than arbitrary text does.
fn toml_like() -> impl Strategy<Value = String> {
    let keys = Shape::new().keys();
    let value = prop_oneof![
        Just("1".to_owned()),
        Just("-1".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("1.5".to_owned()),
        Just("true".to_owned()),
        Just("[]".to_owned()),
        Just("[[], {}]".to_owned()),
        Just("{ a.b = 1 }".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        "[a-z0-9/:.*%]{0,12}".prop_map(|text| format!("{text:?}")),
        "\\PC{0,8}",
    ];
    let line = prop_oneof![
        (proptest::sample::select(keys), value)
            .prop_map(|(key, value)| format!("{} = {value}", key.replace(".0.", "."))),
        proptest::sample::select(vec![
            "[server]",
            "[[mapping]]",
            "[[auth.issuer]]",
            "[auth]",
            "[[endpoint]]",
            "[\"\"]"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,20}",
    ];
    proptest::collection::vec(line, 0..4).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn nothing_that_is_written_makes_it_panic(
        text in toml_like(),
        name in "(COTTONTAIL__)?(SERVER|AUTH|ISSUER|MAPPING|ENDPOINT|_|[0-9]{1,25}|PATH|LISTEN|USER|\\PC){0,4}",
        parts in proptest::collection::vec("[A-Z0-9_]{0,9}", 0..4),
        value in "\\PC{0,20}",
        key in proptest::sample::select(Shape::new().keys()),
    ) {
        let joined = format!("COTTONTAIL__{}", parts.join("__"));
        let known = format!("COTTONTAIL__{}", key.to_uppercase().replace('.', "__"));
        let draft = draft(&text, &[(&name, &value), (&joined, &value), (&known, &value)]);
        // Whatever was wrong, what remains can be shown and checked again.
        prop_assert_eq!(draft.config.validate(), draft.config.clone().validate());
        prop_assert!(draft.finish().map_or_else(|faults| !faults.is_empty(), |_| true));
    }
}
