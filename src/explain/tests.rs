//! Explanations of whole ways, and that none differs from what the rooms decide that it asks.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::auth::{ApiKeyConfig, AuthConfig, IssuerConfig, api_key_hash};
use crate::event::{ChannelName, Message};
use crate::routing::{MappingConfig, MappingTable, OneOrMany};
use crate::setting::Secret;

fn explainer() -> Explainer {
    let issuer = IssuerConfig {
        algorithms: vec!["HS256".into()],
        secret: Some(Secret::new("0123456789abcdef0123456789abcdef")),
        ..IssuerConfig::default()
    };
    let auth = AuthConfig {
        anonymous: true,
        public_channels: vec!["news".into()],
        grants: vec!["team.{claim:/team}.#".into()],
        api_key: vec![ApiKeyConfig { name: "robot".into(), sha256: api_key_hash("k"), ..ApiKeyConfig::default() }],
        issuer: vec![issuer],
        ..AuthConfig::default()
    };
    let one = |text: &str| OneOrMany(vec![text.into()]);
    let mapping = |key: &str| MappingConfig { routing_key: key.into(), ..MappingConfig::default() };
    let mappings = [
        MappingConfig { user: one("{u}"), event: "{e}".into(), ..mapping("user.{u}.{e}") },
        MappingConfig { user: one("{header:to}"), channel: one("{c}"), ..mapping("both.{c...}") },
        MappingConfig { channel: one("{c}"), ..mapping("channel.{c...}") },
        MappingConfig { everyone: true, ..mapping("all.#") },
    ];
    let table = MappingTable::compile(&mappings, "app-").unwrap();
    Explainer::new(Arc::new(Authenticator::load(&auth).unwrap()), Mappings::new(table))
}

fn asked(who: Who, key: &str) -> Explanation {
    let message = Message { routing_key: key.into(), ..Message::default() };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    explainer().explain(&Question { who, message }, now).unwrap()
}

fn claims(json: &str) -> Who {
    Who::Claims(json.into())
}

#[test]
fn each_step_is_told_in_a_sentence() {
    let explanation = asked(claims(r#"{"sub":"42","channels":["a"],"team":"red"}"#), "user.42.hello");
    assert_eq!(
        explanation.sentences,
        [
            "A token with these claims is accepted: it is user `42` and grants the channels `a`, `team.red.#`, `news`; \
             its stream would end in 1h.",
            "mapping.0 (`user.{u}.{e}`) matches and makes the event `hello`.",
            "It is for user `42`, who this is.",
            "Yes: the subscriber gets it.",
        ]
    );
    assert_eq!((explanation.delivered, explanation.reason), (true, None));
}

#[test]
fn the_grant_that_covers_or_is_missing_is_named_with_a_stable_reason() {
    let red = || claims(r#"{"sub":"42","channels":["a"],"team":"red"}"#);
    for (who, key, reason, words) in [
        (red(), "channel.a", None, "which is granted by name"),
        (
            red(),
            "channel.team.red.x",
            None,
            "which `team.red.#` grants; a stream gets it that asks for it by name (channels=team.red.x)",
        ),
        (red(), "channel.news", None, "`news`, which is granted by name"),
        (red(), "channel.team.blue", Some("channel_forbidden"), "no grant covers (channel_forbidden)"),
        (red(), "user.7.x", Some("user_mismatch"), "who this is not (user_mismatch)"),
        (
            red(),
            "nothing.here",
            Some("no_mapping"),
            "No mapping matches the routing key `nothing.here`; the mappings have `user.{u}.{e}`,",
        ),
        (
            red(),
            "both.a",
            Some("header_missing"),
            "cannot be followed: the message has no header of that name (header_missing)",
        ),
        (red(), "all.x", None, "It is for everyone."),
        (Who::Anonymous, "channel.news", None, "nobody in particular"),
        (Who::Anonymous, "user.42.x", Some("user_mismatch"), "user `42`"),
        (Who::ApiKey("robot".into()), "all.x", None, "The API key is accepted"),
        (
            claims(r#"{"sub":"42","exp":1}"#),
            "user.42.x",
            Some("expired"),
            "is refused: the token has expired (expired)",
        ),
        (claims("[]"), "user.42.x", Some("token_malformed"), "refused"),
        (Who::Token(Secret::new("a.b.c")), "user.42.x", Some("token_malformed"), "The token is refused"),
    ] {
        let explanation = asked(who.clone(), key);
        let sentences = explanation.sentences.join("\n");
        assert_eq!(
            (explanation.delivered, explanation.reason),
            (reason.is_none(), reason),
            "{who:?} {key}\n{sentences}"
        );
        assert!(sentences.contains(words), "{who:?} {key}: {words}\n{sentences}");
    }
}

#[test]
fn a_key_that_is_not_configured_is_a_question_without_an_answer() {
    let question = Question { who: Who::ApiKey("nobody".into()), message: Message::default() };
    let error = explainer().explain(&question, SystemTime::now()).unwrap_err();
    assert_eq!(error.to_string(), "there is no auth.api_key with that name");
}

#[test]
fn an_explanation_is_json_for_programs() {
    let json = serde_json::to_value(asked(claims(r#"{"sub":"42","exp":9999999999}"#), "channel.news")).unwrap();
    assert_eq!(
        json["subscriber"],
        serde_json::json!({ "user": "42", "grants": ["news"], "expires": 9_999_999_999_u64 })
    );
    let audience = serde_json::json!(
        { "kind": "channel", "name": "news", "granted": true, "grant": "news", "reason": null }
    );
    assert_eq!(json["mappings"][0]["audiences"], serde_json::json!([audience]));
    assert_eq!((&json["delivered"], &json["reason"]), (&serde_json::json!(true), &serde_json::json!(null)));
}

proptest! {
    #[test]
    fn it_says_yes_where_a_stream_could_receive_and_no_elsewhere(
        user in "[a-b.*#]{1,4}",
        grants in proptest::collection::vec("[a-b.*#]{0,4}", 0..3),
        key in "(user|channel|all|both)\\.[a-b.*#]{0,6}",
    ) {
        let explainer = explainer();
        let json = serde_json::json!({ "sub": user, "channels": grants }).to_string();
        let message = Message { routing_key: key, ..Message::default() };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let identity = explainer.authenticator.suppose(&json, now).unwrap();
        let hears = |audience: &Audience| match audience {
            Audience::Everyone => true,
            Audience::User(user) => identity.user() == Some(user),
            Audience::Channel(channel) => identity.grants().covers(ChannelName::as_str(channel)),
        };
        let expected = explainer.mappings.table().map(&message).events.iter().flat_map(|event| &event.audiences).any(hears);
        let explanation = explainer.explain(&Question { who: claims(&json), message }, now).unwrap();
        prop_assert_eq!(explanation.delivered, expected);
        prop_assert_eq!(explanation.reason.is_none(), expected);
    }
}
