//! The config.toml of the chart as the program reads it: every values file makes one that `cottontail check` would accept.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cottontail::app::Plan;
use cottontail::config::Sources;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chart::{Objects, at, ci_values, list, path, read, run, template, text};

/// Where the chart mounts what is secret.
const SECRETS: &str = "/run/secrets/cottontail";
/// Key material by the key of `[[auth.issuer]]`; the public ones are of RFC 8410 and RFC 7517.
const MATERIAL: [(&str, &str); 3] = [
    ("secret_file", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    (
        "public_key_file",
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n",
    ),
    (
        "jwks_file",
        r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#,
    ),
];

/// A certificate of its own in `tls.crt`, and its key in `tls.key`.
fn certificate(folder: &Path) {
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.join(name).display().to_string());
    let request = "req -x509 -nodes -days 1 -subj /CN=shop.example.com -newkey ec -pkeyopt ec_paramgen_curve:P-256";
    let files = ["-out", &certificate, "-keyout", &key];
    run("openssl", request.split(' ').chain(files)).expect("openssl makes one");
}

/// The program's verdict on a rendered config.toml, with files where the chart would mount them.
fn check(config: &str) -> Result<(), String> {
    let folder = TempDir::new().expect("a temporary folder");
    let secrets = folder.path().join("secrets");
    fs::create_dir(&secrets).expect("it is writable");
    let table: toml::Table = config.parse().map_err(|error: toml::de::Error| error.to_string())?;
    let write = |path: Option<&str>, content: &str| {
        let Some(name) = path.and_then(|path| path.strip_prefix(SECRETS)) else { return };
        fs::write(secrets.join(name.trim_start_matches('/')), content).expect("it is writable");
    };
    if table["server"].get("tls").is_some() {
        certificate(&secrets);
    }
    let broker = &table["broker"];
    write(broker.get("urls_file").and_then(toml::Value::as_str), "amqp://user:password@rabbitmq:5672/%2f\n");
    if let Some(file) = broker.get("ca_file").and_then(toml::Value::as_str) {
        let authorities = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").expect("tests/run installs them");
        write(Some(file), &authorities);
    }
    for issuer in table["auth"]["issuer"].as_array().expect("issuers") {
        for (key, content) in MATERIAL {
            write(issuer.get(key).and_then(toml::Value::as_str), content);
        }
    }
    let file = folder.path().join("config.toml");
    fs::write(&file, config.replace(SECRETS, &secrets.display().to_string())).expect("it is writable");
    let sources = Sources { file: Some(file), environment: Vec::new(), flags: Vec::new() };
    Plan::load(&sources).map(|_| ()).map_err(|faults| format!("{faults:?}"))
}

fn config_of(objects: &Objects, name: &str) -> String {
    text(objects.named("ConfigMap", name), "/data/config.toml").to_owned()
}

#[test]
fn the_program_accepts_the_configuration_of_every_values_file() {
    for values in ci_values() {
        let rendered = template(&values, &[]).expect("it renders");
        let objects = Objects::parse(&rendered);
        let name = if values == crate::chart::ci("full") { "events" } else { "shop-cottontail" };
        let config = config_of(&objects, name);
        check(&config).unwrap_or_else(|error| panic!("{}: {error}\n{config}", values.display()));
    }
}

#[test]
fn the_program_refuses_a_key_that_it_does_not_know_and_the_check_notices() {
    let config = config_of(&Objects::render("minimal", &["config.stream.heartbeet=20s"]), "shop-cottontail");
    let said = check(&config).expect_err("a misspelled key");
    assert!(said.contains("heartbeet"), "{said}");
}

#[test]
fn the_configuration_says_in_toml_what_the_values_say_in_yaml() {
    let values: Value = yaml_serde::from_str(&read("helm/cottontail/ci/full-values.yaml")).expect("YAML");
    let config: toml::Table = config_of(&Objects::render("full", &[]), "events").parse().expect("TOML");
    let mut config = serde_json::to_value(config).expect("JSON");
    let listen = |port: u16| json!(format!("0.0.0.0:{port}"));
    assert_eq!(config["server"].as_object_mut().expect("a table").remove("listen"), Some(listen(8080)));
    assert_eq!(config["admin"].as_object_mut().expect("a table").remove("listen"), Some(listen(9090)));
    let broker = config["broker"].as_object_mut().expect("a table");
    assert_eq!(broker.remove("urls_file"), Some(json!(format!("{SECRETS}/amqp-urls"))));
    assert_eq!(broker.remove("ca_file"), Some(json!(format!("{SECRETS}/amqp-ca.pem"))));
    let issuers = config["auth"].as_object_mut().expect("a table").remove("issuer").expect("issuers");
    let issuer = json!([{
        "algorithms": ["HS256", "HS512"], "issuer": "https://shop.example.com", "leeway": "10s", "require_exp": true,
        "secret_file": format!("{SECRETS}/issuer-0"),
    }]);
    assert_eq!(issuers, issuer);
    assert_eq!(config, *at(&values, "/config"));
}

#[test]
fn no_secret_is_in_a_config_map_or_a_pod() {
    let objects = Objects::render("minimal", &[]);
    let secret = objects.only("Secret");
    for (key, value) in [("amqp-urls", "amqp://cottontail:for-a-first-try@"), ("issuer-0", "for-a-first-try-0123")] {
        assert!(text(secret, &format!("/stringData/{key}")).contains(value), "{key}");
    }
    let others: Vec<_> = objects.iter().filter(|object| object["kind"] != "Secret").collect();
    assert!(others.len() > 3);
    for object in others {
        assert!(!object.to_string().contains("for-a-first-try"), "{object:#}");
    }
}

#[test]
fn the_schema_names_the_sections_of_the_configuration() {
    let schema: Value = serde_json::from_str(&read("helm/cottontail/values.schema.json")).expect("JSON");
    let named = at(&schema, "/properties/config/properties").as_object().expect("an object").keys();
    let defaults = fs::read_to_string(path("config.toml")).expect("it is there");
    let sections: BTreeSet<_> = defaults
        .lines()
        .filter_map(|line| line.trim_start_matches('#').trim_start_matches('[').split_once(']'))
        .map(|(section, _)| section)
        .filter(|section| !section.is_empty() && section.chars().all(char::is_alphanumeric))
        .map(str::to_owned)
        .collect();
    assert!(sections.len() > 9, "{sections:?}");
    let missing: Vec<_> = sections.iter().filter(|section| !named.clone().any(|name| name == *section)).collect();
    assert_eq!(missing, [""; 0], "in values.schema.json");
}

#[test]
fn every_mounted_file_has_the_name_that_the_configuration_gives_it() {
    for values in ci_values() {
        let objects = Objects::parse(&template(&values, &[]).expect("it renders"));
        let Some(deployment) = objects.find("Deployment") else { continue };
        let volumes = list(deployment, "/spec/template/spec/volumes");
        let sources = volumes.iter().find_map(|volume| volume.pointer("/projected/sources")).expect("secrets");
        let made = objects.find("Secret").map(|secret| at(secret, "/stringData").as_object().expect("data").keys());
        let items = sources.as_array().expect("a list").iter().flat_map(|source| {
            let items = source.pointer("/secret/items").or_else(|| source.pointer("/configMap/items"));
            items.and_then(Value::as_array).into_iter().flatten().map(|item| text(item, "/path").to_owned())
        });
        let files: Vec<_> = items.chain(made.into_iter().flatten().cloned()).collect();
        let config =
            text(objects.iter().find(|object| object["kind"] == "ConfigMap").expect("one"), "/data/config.toml");
        let named: Vec<_> = config.split('"').filter_map(|word| word.strip_prefix(SECRETS)).collect();
        assert!(!named.is_empty(), "{config}");
        for name in named {
            let name = Path::new(name).file_name().and_then(|name| name.to_str()).expect("a file");
            assert!(files.iter().any(|file| file == name), "{}: {name} is not among {files:?}", values.display());
        }
    }
}
