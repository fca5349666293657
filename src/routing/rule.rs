//! One mapping, compiled: reading it with all its faults, and the event it makes of a message. Which mapping is asked is the table's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::BASE64_SUFFIX;
use super::config::{Binary, MappingConfig, OneOrMany};
use super::pattern::KeyPattern;
use super::pointer::Pointer;
use super::problem::Problem;
use super::reject::Reason;
use super::source::MessageView;
use super::template::Template;
use crate::event::{Audience, Event, EventName};
use crate::setting::Fault;

/// A compiled mapping.
#[derive(Debug)]
pub(super) struct Rule {
    /// The pattern as it was written.
    pub(super) routing_key: Box<str>,
    pub(super) pattern: KeyPattern,
    pub(super) carry_on: bool,
    audiences: Box<[AudienceRule]>,
    name: NameRule,
    /// What part of the body is sent; all of it without one.
    data: Option<Pointer>,
    binary: Binary,
}

#[derive(Debug)]
enum AudienceRule {
    Fixed(Audience),
    User(Template),
    Channel(Template),
}

#[derive(Debug)]
enum NameRule {
    Fixed(Name),
    Filled(Template),
}

/// An event's name, and whether it had to be changed since it was reserved.
#[derive(Clone, Debug)]
struct Name {
    name: EventName,
    renamed: bool,
}

impl Name {
    fn new(text: &str, reserved_prefix: &str) -> Self {
        let name = EventName::new(text);
        if name.is_reserved() {
            return Self { name: EventName::new(&format!("{reserved_prefix}{text}")), renamed: true };
        }
        Self { name, renamed: false }
    }
}

/// What a rule made of a message.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) event: Event,
    pub(super) renamed: bool,
}

impl Rule {
    /// Reads the mapping at `place` of the configuration and adds its faults; without a rule there is at least one.
    pub(super) fn compile(
        mapping: &MappingConfig,
        place: usize,
        reserved_prefix: &str,
        faults: &mut Vec<Fault>,
    ) -> Option<Self> {
        let mut check = Check { path: format!("mapping.{place}"), faults };
        let pattern = check.of("routing_key", KeyPattern::parse(&mapping.routing_key));
        // A pattern that could not be read is one fault, not another one for each of its captures.
        let capture = |name: &str| pattern.as_ref().map_or(Some(0), |pattern| pattern.capture(name));

        let users = check.audiences("user", &mapping.user, &capture, user, AudienceRule::User);
        let channels = check.audiences("channel", &mapping.channel, &capture, channel, AudienceRule::Channel);
        let everyone = mapping.everyone.then_some(AudienceRule::Fixed(Audience::Everyone));
        check.reach(mapping);

        let name = check.of("event", Template::parse(&mapping.event, capture)).map(|template| {
            let constant = template.constant().map(|text| Name::new(text, reserved_prefix));
            constant.map_or(NameRule::Filled(template), NameRule::Fixed)
        });
        let data = check.of("data", Pointer::parse(&mapping.data));
        Some(Self {
            routing_key: mapping.routing_key.as_str().into(),
            pattern: pattern?,
            carry_on: mapping.carry_on,
            audiences: users?.into_iter().chain(channels?).chain(everyone).collect(),
            name: name?,
            data: data.filter(|_| !mapping.data.is_empty()),
            binary: mapping.binary,
        })
    }

    /// The event's name, where it is the same for every message.
    pub(super) fn event_name(&self) -> Option<&EventName> {
        match &self.name {
            NameRule::Fixed(name) => Some(&name.name),
            NameRule::Filled(_) => None,
        }
    }

    /// The event for a message that the pattern matches, with what the pattern captured of its key.
    pub(super) fn apply<'a>(
        &'a self,
        message: &MessageView<'a>,
        captures: &[&'a str],
        reserved_prefix: &str,
    ) -> Result<Made, Reason> {
        let audiences = self.audiences(message, captures)?;
        let Name { name, renamed } = match &self.name {
            NameRule::Fixed(name) => name.clone(),
            NameRule::Filled(template) => Name::new(&template.fill(message, captures)?, reserved_prefix),
        };
        let event = match self.text(message)? {
            Some(data) => Event { audiences, name, data },
            None => Event {
                audiences,
                name: EventName::new(&format!("{}{BASE64_SUFFIX}", name.as_str())),
                data: STANDARD.encode(&message.message().body).into(),
            },
        };
        Ok(Made { event, renamed })
    }

    fn audiences<'a>(&'a self, message: &MessageView<'a>, captures: &[&'a str]) -> Result<Vec<Audience>, Reason> {
        let mut audiences = Vec::with_capacity(self.audiences.len());
        for rule in &self.audiences {
            let audience = match rule {
                AudienceRule::Fixed(audience) => audience.clone(),
                AudienceRule::User(template) => user(named(&template.fill(message, captures)?)?),
                AudienceRule::Channel(template) => channel(named(&template.fill(message, captures)?)?),
            };
            if !audiences.contains(&audience) {
                audiences.push(audience);
            }
        }
        Ok(audiences)
    }

    /// The data as it stands in the body, or nothing when the body is to be sent as base64.
    fn text(&self, message: &MessageView<'_>) -> Result<Option<Bytes>, Reason> {
        let body = &message.message().body;
        match (&self.data, message.text(), self.binary) {
            (Some(pointer), ..) => Ok(Some(body.slice_ref(message.part(pointer)?.get().as_bytes()))),
            (None, Some(_), _) => Ok(Some(body.clone())),
            (None, None, Binary::Base64) => Ok(None),
            (None, None, Binary::Drop) => Err(Reason::BinaryDropped),
        }
    }
}

fn named(text: &str) -> Result<&str, Reason> {
    if text.is_empty() { Err(Reason::AudienceEmpty) } else { Ok(text) }
}

fn user(id: &str) -> Audience {
    Audience::User(id.into())
}

fn channel(name: &str) -> Audience {
    Audience::Channel(name.into())
}

/// Collects the faults of one mapping under its path.
struct Check<'f> {
    path: String,
    faults: &'f mut Vec<Fault>,
}

impl Check<'_> {
    fn of<T>(&mut self, setting: &str, read: Result<T, Problem>) -> Option<T> {
        read.map_err(|problem| self.fault(setting, &problem)).ok()
    }

    fn fault(&mut self, setting: &str, problem: &Problem) {
        self.faults.push(Fault::new(format!("{}.{setting}", self.path), problem.to_string()));
    }

    /// The audiences of one setting; none when one has a fault, but only after all were looked at.
    fn audiences(
        &mut self,
        setting: &str,
        written: &OneOrMany,
        capture: &impl Fn(&str) -> Option<usize>,
        fixed: fn(&str) -> Audience,
        filled: fn(Template) -> AudienceRule,
    ) -> Option<Vec<AudienceRule>> {
        let read = |text: &String| {
            let template = Template::parse(text, capture)?;
            match template.constant() {
                Some("") => Err(Problem::Empty),
                Some(constant) => Ok(AudienceRule::Fixed(fixed(constant))),
                None => Ok(filled(template)),
            }
        };
        let rules: Vec<_> = written.0.iter().map(read).collect();
        let alone = rules.len() == 1;
        let rules = rules.into_iter().enumerate().map(|(n, rule)| {
            // A single audience may be written without a list, so its key has no index.
            let key = if alone { setting.to_owned() } else { format!("{setting}.{n}") };
            self.of(&key, rule)
        });
        rules.collect::<Vec<_>>().into_iter().collect()
    }

    /// Holds the mapping to having an audience, and to no other one beside everyone.
    fn reach(&mut self, mapping: &MappingConfig) {
        let named = [("user", &mapping.user), ("channel", &mapping.channel)];
        let mut named = named.into_iter().filter(|(_, written)| !written.0.is_empty()).peekable();
        if mapping.everyone {
            named.for_each(|(setting, _)| self.fault(setting, &Problem::BesideEveryone));
        } else if named.peek().is_none() {
            self.faults.push(Fault::new(&self.path, Problem::NoAudience.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mapped, MappingTable, Reject};
    use super::*;
    use crate::event::{Message, Scalar};

    fn list(texts: &[&str]) -> OneOrMany {
        OneOrMany(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    fn to_user(routing_key: &str, user: &[&str]) -> MappingConfig {
        MappingConfig { routing_key: routing_key.into(), user: list(user), ..MappingConfig::default() }
    }

    fn to_all(event: &str) -> MappingConfig {
        let (routing_key, event) = ("#".into(), event.into());
        MappingConfig { routing_key, event, everyone: true, ..MappingConfig::default() }
    }

    fn message(routing_key: &str, body: &'static [u8]) -> Message {
        Message { routing_key: routing_key.into(), body: Bytes::from_static(body), ..Message::default() }
    }

    fn map(mapping: MappingConfig, message: &Message) -> Mapped {
        MappingTable::compile(&[mapping], "app-").unwrap().map(message)
    }

    fn event(mapping: MappingConfig, message: &Message) -> Event {
        let mut mapped = map(mapping, message);
        assert_eq!((mapped.events.len(), mapped.rejects.len()), (1, 0), "{mapped:?}");
        mapped.events.remove(0)
    }

    fn reason(mapping: MappingConfig, message: &Message) -> Reason {
        let mapped = map(mapping, message);
        match mapped.rejects.as_slice() {
            [Reject { reason, mapping: Some(0) }] if mapped.events.is_empty() => *reason,
            _ => panic!("not one reject: {mapped:?}"),
        }
    }

    #[test]
    fn the_example_of_the_contract_works() {
        let mapping = MappingConfig { event: "{event}".into(), ..to_user("user.{user}.{event}", &["{user}"]) };
        let event = event(mapping, &message("user.42.hello", b"hi\r\n"));
        assert_eq!(event.audiences, [Audience::User("42".into())]);
        assert_eq!(event.name.as_str(), "hello");
        assert_eq!(&event.data[..], b"hi\r\n");
    }

    #[test]
    fn several_audiences_make_one_event_and_none_is_named_twice() {
        let mapping = MappingConfig {
            channel: list(&["{a}", "team.{b}", "fixed"]),
            ..to_user("{a}.{b...}", &["{a}", "u-{a}", "1"])
        };
        let event = event(mapping, &message("1.x.y", b""));
        assert_eq!(event.audiences, [user("1"), user("u-1"), channel("1"), channel("team.x.y"), channel("fixed")],);
        assert_eq!(event.name.as_str(), "message");
    }

    #[test]
    fn one_missing_audience_rejects_the_whole_mapping() {
        assert_eq!(reason(to_user("{a}", &["{a}", "{header:h}"]), &message("1", b"")), Reason::HeaderMissing);
    }

    #[test]
    fn values_that_cannot_name_anything_are_rejected_by_reason() {
        let headers = vec![("yes".into(), Scalar::Boolean(true)), ("long".into(), Scalar::Text("x".repeat(1025)))];
        let properties = vec![("app_id", Scalar::Unusable)];
        let json = Message { headers, properties, ..message("a..b", br#"{"f":1.5}"#) };
        for (user, expected) in [
            ("{header:none}", Reason::HeaderMissing),
            ("{header:yes}", Reason::HeaderType),
            ("{header:long}", Reason::ValueTooLong),
            ("{property:type}", Reason::PropertyMissing),
            ("{property:app_id}", Reason::PropertyType),
            ("{body:/none}", Reason::PointerMissing),
            ("{body:/f}", Reason::PointerType),
            ("{empty}", Reason::AudienceEmpty),
        ] {
            assert_eq!(reason(to_user("a.{empty}.b", &[user]), &json), expected, "{user}");
        }
        assert_eq!(reason(to_user("#", &["{body:/id}"]), &message("a", b"{")), Reason::BodyNotJson);
        assert_eq!(reason(to_all("{header:h}"), &message("a", b"")), Reason::HeaderMissing);
    }

    #[test]
    fn a_body_that_is_not_text_is_sent_as_base64_or_dropped() {
        let binary = message("a", b"\xff\xfe");
        let encoded = event(to_all("pic"), &binary);
        assert_eq!((encoded.name.as_str(), &encoded.data[..]), ("pic+base64", &b"//4="[..]));
        assert_eq!(event(to_all(""), &binary).name.as_str(), "message+base64");
        assert_eq!(reason(MappingConfig { binary: Binary::Drop, ..to_all("pic") }, &binary), Reason::BinaryDropped);
        assert_eq!(reason(MappingConfig { data: "/a".into(), ..to_all("pic") }, &binary), Reason::BodyNotJson);
    }

    #[test]
    fn a_text_body_is_shared_and_not_copied() {
        let message = message("a", "{ \"é\": \"☃\u{2028}\" }\r\n".as_bytes());
        let data = event(to_all("x"), &message).data;
        assert_eq!(data, message.body);
        assert_eq!(data.as_ptr(), message.body.as_ptr());
    }

    #[test]
    fn a_part_of_the_body_is_sent_as_it_stands() {
        let body = br#"{"a": [0, { "n" : 123456789012345678901234567890.10,"s":"\u00e9" } ]}"#;
        let part = |data: &str| event(MappingConfig { data: data.into(), ..to_all("x") }, &message("a", body)).data;
        assert_eq!(&part("/a/1")[..], br#"{ "n" : 123456789012345678901234567890.10,"s":"\u00e9" }"#);
        assert_eq!(&part("/a/1/n")[..], b"123456789012345678901234567890.10");
        assert_eq!(&part("/a/1/s")[..], br#""\u00e9""#);
        let none = MappingConfig { data: "/b".into(), ..to_all("x") };
        assert_eq!(reason(none, &message("a", body)), Reason::PointerMissing);
    }

    #[test]
    fn a_reserved_name_is_renamed_and_counted() {
        let named = |name: &str, body| {
            map(
                to_all("{header:h}"),
                &Message { headers: vec![("h".into(), Scalar::Text(name.into()))], ..message("a", body) },
            )
        };
        for (name, body, expected, renamed) in [
            ("error", &b""[..], "app-error", 1),
            ("gap", b"\xff", "app-gap+base64", 1),
            ("fine", b"", "fine", 0),
            ("a\r\nb", b"", "a\u{FFFD}\u{FFFD}b", 0),
            ("", b"", "message", 0),
        ] {
            let mapped = named(name, body);
            assert_eq!((mapped.events[0].name.as_str(), mapped.renamed), (expected, renamed));
        }
        assert_eq!(map(to_all("open"), &message("a", b"")).renamed, 1);
    }
}
