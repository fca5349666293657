//! Where a value comes from: captures, headers, properties and the JSON body of one message, each read only when asked for.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::value::RawValue;

use super::pointer::Pointer;
use super::problem::Problem;
use super::reject::Reason;
use crate::event::{Message, PROPERTIES, Scalar};

/// One source of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// By its place in the routing-key pattern.
    Capture(usize),
    Header(Box<str>),
    Property(&'static str),
    Body(Pointer),
}

impl Source {
    /// Reads what stands between the braces of a template; `capture` gives the place of a capture.
    pub(super) fn parse(text: &str, capture: impl Fn(&str) -> Option<usize>) -> Result<Self, Problem> {
        let Some((kind, name)) = text.split_once(':') else {
            return match capture(text) {
                Some(place) => Ok(Self::Capture(place)),
                None if text.ends_with("...") => Err(Problem::CaptureDots(text.to_owned())),
                None => Err(Problem::CaptureUnknown(text.to_owned())),
            };
        };
        match kind {
            "header" if name.is_empty() => Err(Problem::HeaderUnnamed),
            "header" => Ok(Self::Header(name.into())),
            "property" => {
                let known = PROPERTIES.into_iter().find(|property| *property == name);
                known.map(Self::Property).ok_or_else(|| Problem::PropertyUnknown { given: name.to_owned() })
            }
            "body" => Pointer::parse(name).map(Self::Body),
            _ => Err(Problem::SourceUnknown(kind.to_owned())),
        }
    }

    /// The text of the value: a string itself, an integer in decimal.
    pub(super) fn read<'a>(&self, message: &MessageView<'a>, captures: &[&'a str]) -> Result<Cow<'a, str>, Reason> {
        match self {
            Self::Capture(place) => Ok(Cow::Borrowed(captures[*place])),
            Self::Header(name) => {
                let header = message.headers().iter().find(|(header, _)| **header == **name);
                scalar_text(&header.ok_or(Reason::HeaderMissing)?.1).ok_or(Reason::HeaderType)
            }
            Self::Property(name) => {
                let property = message.properties().iter().find(|(property, _)| property == name);
                scalar_text(&property.ok_or(Reason::PropertyMissing)?.1).ok_or(Reason::PropertyType)
            }
            Self::Body(pointer) => json_text(message.part(pointer)?.get()).ok_or(Reason::PointerType),
        }
    }
}

fn scalar_text(value: &Scalar) -> Option<Cow<'_, str>> {
    match value {
        Scalar::Text(text) => Some(Cow::Borrowed(text)),
        Scalar::Integer(integer) => Some(Cow::Owned(integer.to_string())),
        Scalar::Boolean(_) | Scalar::Unusable => None,
    }
}

/// The text of a JSON string, or of a JSON number that is written without fraction and exponent, however large.
fn json_text(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' if value.contains('\\') => {
            // Fails on half a surrogate pair, which JSON can write and text cannot hold.
            serde_json::from_str(value).ok().map(Cow::Owned)
        }
        b'"' => value.get(1..value.len() - 1).map(Cow::Borrowed),
        b'-' | b'0'..=b'9' if !value.contains(['.', 'e', 'E']) => Some(Cow::Borrowed(value)),
        _ => None,
    }
}

/// A message with its body checked and parsed at most once, and only when something asks for it.
pub(super) struct MessageView<'a> {
    message: &'a Message,
    text: OnceCell<Option<&'a str>>,
    json: OnceCell<Option<&'a RawValue>>,
}

impl<'a> MessageView<'a> {
    pub(super) fn new(message: &'a Message) -> Self {
        Self { message, text: OnceCell::new(), json: OnceCell::new() }
    }

    pub(super) fn message(&self) -> &'a Message {
        self.message
    }

    fn headers(&self) -> &'a [(String, Scalar)] {
        &self.message.headers
    }

    fn properties(&self) -> &'a [(&'static str, Scalar)] {
        &self.message.properties
    }

    /// The body when it is UTF-8 text.
    pub(super) fn text(&self) -> Option<&'a str> {
        *self.text.get_or_init(|| std::str::from_utf8(&self.message.body).ok())
    }

    /// What a pointer names in the JSON body, as it stands there.
    pub(super) fn part(&self, pointer: &Pointer) -> Result<&'a RawValue, Reason> {
        let json = self.json.get_or_init(|| serde_json::from_str(self.text()?).ok());
        pointer.find(json.ok_or(Reason::BodyNotJson)?).ok_or(Reason::PointerMissing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message() -> Message {
        Message {
            routing_key: "a.b".into(),
            headers: vec![
                ("event-type".into(), Scalar::Text("made".into())),
                ("n".into(), Scalar::Integer(-7)),
                ("yes".into(), Scalar::Boolean(true)),
                ("table".into(), Scalar::Unusable),
            ],
            properties: vec![("type", Scalar::Text("order".into())), ("timestamp", Scalar::Unusable)],
            body: Bytes::from_static(
                br#"{"id":12345678901234567890123,"s":"a\u00e9","f":1.0,"e":1e3,"b":true,"n":null,"h":"\ud800","q":"\"","":""}"#,
            ),
        }
    }

    fn read(source: &str) -> Result<String, Reason> {
        let message = message();
        let source = Source::parse(source, |name| (name == "second").then_some(1)).unwrap();
        source.read(&MessageView::new(&message), &["a", "b"]).map(Cow::into_owned)
    }

    #[test]
    fn each_source_gives_its_text() {
        assert_eq!(read("second"), Ok("b".into()));
        assert_eq!(read("header:event-type"), Ok("made".into()));
        assert_eq!(read("header:n"), Ok("-7".into()));
        assert_eq!(read("property:type"), Ok("order".into()));
        assert_eq!(read("body:/s"), Ok("aé".into()));
        assert_eq!(read("body:/id"), Ok("12345678901234567890123".into()));
        assert_eq!(read("body:/q"), Ok("\"".into()));
        assert_eq!(read("body:/"), Ok(String::new()));
    }

    #[test]
    fn each_source_says_what_is_missing_or_ill_typed() {
        assert_eq!(read("header:Event-Type"), Err(Reason::HeaderMissing));
        assert_eq!(read("header:yes"), Err(Reason::HeaderType));
        assert_eq!(read("header:table"), Err(Reason::HeaderType));
        assert_eq!(read("property:app_id"), Err(Reason::PropertyMissing));
        assert_eq!(read("property:timestamp"), Err(Reason::PropertyType));
        assert_eq!(read("body:/none"), Err(Reason::PointerMissing));
        for pointer in ["/f", "/e", "/b", "/n", "/h", ""] {
            assert_eq!(read(&format!("body:{pointer}")), Err(Reason::PointerType), "{pointer}");
        }
    }

    #[test]
    fn a_body_that_is_not_one_json_text_has_no_parts() {
        for body in [&b"no"[..], b"", b"{}{}", b"{\"a\":", b"\"\xff\"", b"\xef\xbb\xbf{}"] {
            let message = Message { body: Bytes::from_static(body), ..Message::default() };
            let source = Source::parse("body:", |_| None).unwrap();
            assert_eq!(source.read(&MessageView::new(&message), &[]), Err(Reason::BodyNotJson), "{body:?}");
        }
    }

    #[test]
    fn each_problem_of_a_source_is_named() {
        let problem = |text: &str| Source::parse(text, |_| None).unwrap_err();
        assert_eq!(problem("user"), Problem::CaptureUnknown("user".into()));
        assert_eq!(problem("rest..."), Problem::CaptureDots("rest...".into()));
        assert_eq!(problem("claim:/sub"), Problem::SourceUnknown("claim".into()));
        assert_eq!(problem("header:"), Problem::HeaderUnnamed);
        assert_eq!(problem("property:app-id"), Problem::PropertyUnknown { given: "app-id".into() });
        assert_eq!(problem("body:x"), Problem::PointerStart("x".into()));
        assert_eq!(problem("body:/~x"), Problem::PointerEscape("/~x".into()));
    }
}
