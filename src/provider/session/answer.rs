//! What the application's answer about a session says: whose it is, or that it is nobody's; how it was asked is not known here.

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, Response, StatusCode};
use serde_json::Value;

use crate::auth::ForwardConfig;
use crate::provider::FetchError;
use crate::setting::Fault;

/// What a 200 answer says, or which refusal it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Known { user: Option<String>, channels: Vec<String> },
    Unauthorized,
    Forbidden,
}

/// Why an answer decides nothing. `Display` is a clause for a log line without anything of the answer but its status.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// So many others were asked about that the time was over before an answer could have come.
    #[error("as many questions are open as auth.forward.max_asking allows, and there was no time left for another")]
    Crowded,
    #[error("it answered {0}, where 200, 401 and 403 mean something")]
    Status(StatusCode),
    #[error("its body is not JSON, which auth.forward.user or auth.forward.channels points into")]
    NotJson,
    #[error("what stands at auth.forward.user is neither text nor an integer, of 1 to 1024 bytes")]
    User,
    #[error("what stands at auth.forward.channels is no list of channel grants")]
    Channels,
}

impl Trouble {
    /// Whether it says something of the application as a whole, and not only of this session.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Crowded => true,
            Self::Fetch(error) => !matches!(error, FetchError::TooLarge(_) | FetchError::Redirect(_)),
            Self::Status(status) => status.is_server_error(),
            Self::NotJson | Self::User | Self::Channels => false,
        }
    }

    /// A word for a metric's label.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::Redirect(_)) | Self::Status(_) => "other_status",
            Self::Fetch(_) | Self::Crowded => "failed",
            Self::NotJson | Self::User | Self::Channels => "invalid",
        }
    }
}

/// Where an answer says something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Header(HeaderName),
    /// RFC 6901, into a JSON body.
    Pointer(String),
}

/// Where an answer says what.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    user: Place,
    channels: Place,
}

impl Reading {
    /// Reads the two settings; adds their faults to `faults`.
    pub(super) fn new(config: &ForwardConfig, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut place = |setting: &str, text: &str| {
            let read = if text.starts_with('/') {
                let escapes = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
                escapes.then(|| Place::Pointer(text.to_owned()))
            } else {
                text.parse().ok().map(Place::Header)
            };
            if read.is_none() {
                let problem = "must be the name of a header, or a JSON pointer such as \"/user/id\" (RFC 6901)";
                faults.push(Fault::new(format!("auth.forward.{setting}"), problem));
            }
            read
        };
        let (user, channels) = (place("user", &config.user), place("channels", &config.channels));
        Some(Self { user: user?, channels: channels? })
    }

    pub(super) fn read(&self, answer: &Response<Bytes>) -> Result<Answer, Trouble> {
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => return Ok(Answer::Unauthorized),
            StatusCode::FORBIDDEN => return Ok(Answer::Forbidden),
            other => return Err(Trouble::Status(other)),
        }
        let json = if [&self.user, &self.channels].iter().any(|place| matches!(place, Place::Pointer(_))) {
            serde_json::from_slice(answer.body()).map_err(|_| Trouble::NotJson)?
        } else {
            Value::Null
        };
        let user = self.user.user(answer.headers(), &json)?;
        let channels = self.channels.channels(answer.headers(), &json)?;
        Ok(Answer::Known { user, channels })
    }
}

impl Place {
    fn user(&self, headers: &HeaderMap, json: &Value) -> Result<Option<String>, Trouble> {
        let user = match self {
            Self::Header(name) => {
                // Of two users none is the one that is meant.
                let mut values = headers.get_all(name).iter();
                let Some(value) = values.next() else { return Ok(None) };
                let text = std::str::from_utf8(value.as_bytes()).ok().filter(|_| values.next().is_none());
                text.ok_or(Trouble::User)?.to_owned()
            }
            Self::Pointer(pointer) => match json.pointer(pointer) {
                None | Some(Value::Null) => return Ok(None),
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) if number.is_i64() || number.is_u64() => number.to_string(),
                Some(Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                    return Err(Trouble::User);
                }
            },
        };
        Ok(Some(user).filter(|user| !user.is_empty()))
    }

    /// A header has them with commas or spaces between, JSON as a list or as one text with spaces.
    fn channels(&self, headers: &HeaderMap, json: &Value) -> Result<Vec<String>, Trouble> {
        let words = |text: &str| -> Vec<String> {
            text.split([',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        match self {
            Self::Header(name) => {
                let mut channels = Vec::new();
                for value in headers.get_all(name) {
                    channels.extend(words(std::str::from_utf8(value.as_bytes()).map_err(|_| Trouble::Channels)?));
                }
                Ok(channels)
            }
            Self::Pointer(pointer) => match json.pointer(pointer) {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::String(text)) => Ok(text.split_ascii_whitespace().map(str::to_owned).collect()),
                Some(Value::Array(list)) => {
                    let texts = list.iter().map(|item| item.as_str().map(str::to_owned));
                    texts.collect::<Option<_>>().ok_or(Trouble::Channels)
                }
                Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(Trouble::Channels),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(user: &str, channels: &str, status: u16, headers: &[(&str, &str)], body: &str) -> Result<Answer, Trouble> {
        let config = ForwardConfig { user: user.into(), channels: channels.into(), ..ForwardConfig::default() };
        let mut faults = Vec::new();
        let reading = Reading::new(&config, &mut faults).unwrap();
        assert_eq!(faults, []);
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, value.as_bytes());
        }
        reading.read(&response.body(Bytes::from(body.to_owned())).unwrap())
    }

    fn known(user: Option<&str>, channels: &[&str]) -> Answer {
        Answer::Known { user: user.map(Into::into), channels: channels.iter().map(|&name| name.into()).collect() }
    }

    #[test]
    fn headers_name_a_user_and_channels() {
        let by_header = |headers: &[(&str, &str)]| read("X-User", "X-Channels", 200, headers, "<html>");
        let headers = [("x-user", "é 42"), ("x-channels", "a, b.#"), ("x-channels", "c d")];
        assert_eq!(by_header(&headers).unwrap(), known(Some("é 42"), &["a", "b.#", "c", "d"]));
        assert_eq!(by_header(&[]).unwrap(), known(None, &[]));
        assert_eq!(by_header(&[("x-user", "")]).unwrap(), known(None, &[]));
        assert!(matches!(by_header(&[("x-user", "a"), ("x-user", "b")]), Err(Trouble::User)));
    }

    #[test]
    fn pointers_name_a_user_and_channels() {
        let by_pointer = |body: &str| read("/user/id", "/may see", 200, &[("x-user", "eve")], body);
        assert_eq!(
            by_pointer(r#"{"user":{"id":42},"may see":["a b","c"]}"#).unwrap(),
            known(Some("42"), &["a b", "c"])
        );
        assert_eq!(by_pointer(r#"{"user":{"id":"ada"},"may see":"a b"}"#).unwrap(), known(Some("ada"), &["a", "b"]));
        for nobody in ["{}", r#"{"user":null,"may see":null}"#, r#"{"user":{"id":""}}"#, "[]"] {
            assert_eq!(by_pointer(nobody).unwrap(), known(None, &[]), "{nobody}");
        }
        for user in ["1.5", "true", "[]", "{}"] {
            assert!(matches!(by_pointer(&format!(r#"{{"user":{{"id":{user}}}}}"#)), Err(Trouble::User)), "{user}");
        }
        for list in ["[1]", "7", "{}"] {
            assert!(matches!(by_pointer(&format!(r#"{{"may see":{list}}}"#)), Err(Trouble::Channels)), "{list}");
        }
        assert!(matches!(by_pointer("<html>"), Err(Trouble::NotJson)));
    }

    #[test]
    fn only_three_statuses_mean_something_and_only_the_applications_own_failures_are_outages() {
        let status = |status| read("X-User", "X-Channels", status, &[("x-user", "eve")], "");
        assert_eq!(status(401).unwrap(), Answer::Unauthorized);
        assert_eq!(status(403).unwrap(), Answer::Forbidden);
        for (code, outage) in [(201, false), (204, false), (404, false), (429, false), (500, true), (503, true)] {
            let trouble = status(code).unwrap_err();
            assert!(matches!(trouble, Trouble::Status(_)) && trouble.is_outage() == outage, "{code}");
        }
        assert!(!Trouble::Fetch(FetchError::Redirect(StatusCode::FOUND)).is_outage());
    }

    #[test]
    fn what_is_neither_a_header_nor_a_pointer_is_a_fault() {
        let mut faults = Vec::new();
        let config = ForwardConfig { user: "X User".into(), channels: "/a~b".into(), ..ForwardConfig::default() };
        assert!(Reading::new(&config, &mut faults).is_none());
        let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(keys, ["auth.forward.user", "auth.forward.channels"]);
    }
}
