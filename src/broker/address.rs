//! AMQP URIs and the list of them that is tried in turn; no connection here.
//!
//! Parsed by ourselves: lapin's parser turns an IPv6 host into `localhost`, and a trailing slash into a vhost without a name.

use std::fmt;
use std::net::Ipv6Addr;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use percent_encoding::percent_decode_str;

use super::BrokerConfig;
use crate::setting::{Fault, Secret};

/// Longest short string of AMQP 0-9-1 (§4.2.5.3), in bytes.
pub(super) const SHORT_STRING_BYTES: usize = 255;

/// Where one broker is, and as whom to enter. `Display` leaves the credentials out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Address {
    pub(super) tls: bool,
    /// A host name or an IP address, without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) vhost: String,
    user: Secret,
    password: Secret,
}

impl Address {
    /// Reads `amqp[s]://[user[:password]@]host[:port][/vhost]`; what is left out is `guest`, 5672 or 5671, and `/`.
    ///
    /// The error is a clause for a fault. It quotes nothing, for any part may hold a piece of a password.
    pub(super) fn parse(uri: &str) -> Result<Self, &'static str> {
        let (scheme, rest) =
            uri.split_once("://").ok_or("is not an AMQP URI such as amqp://user:password@host:5672/vhost")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err("must start with amqp:// or amqps://"),
        };
        if rest.contains('?') {
            return Err(
                "takes no query: heartbeat and timeouts are settings of [broker] (write `?` in a password as %3F)",
            );
        }
        if rest.contains('#') {
            return Err("has a `#`, which must be written as %23");
        }
        let (authority, vhost) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let (user, password) = user.map_or((None, None), |user| {
            user.split_once(':').map_or((Some(user), None), |(user, password)| (Some(user), Some(password)))
        });
        let credential = |text: Option<&str>| decoded(text.unwrap_or("guest")).map(Secret::new);
        let (host, port) = host_and_port(place, if tls { 5671 } else { 5672 })?;
        let vhost = if vhost.is_empty() { "/".to_owned() } else { decoded(vhost)? };
        if vhost.len() > SHORT_STRING_BYTES {
            return Err("has a vhost of more than 255 bytes");
        }
        Ok(Self { tls, host, port, vhost, user: credential(user)?, password: credential(password)? })
    }

    /// As `Display` has it, with the user and asterisks for the password.
    fn masked(&self) -> String {
        let user = percent_encoding::utf8_percent_encode(self.user.expose(), percent_encoding::NON_ALPHANUMERIC);
        self.to_string().replacen("://", &format!("://{user}:***@"), 1)
    }

    /// The form that lapin takes. The heartbeat is in seconds.
    pub(super) fn to_uri(&self, heartbeat: u16) -> AMQPUri {
        AMQPUri {
            scheme: if self.tls { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo {
                    username: self.user.expose().to_owned(),
                    password: self.password.expose().to_owned(),
                },
                host: self.host.clone(),
                port: self.port,
            },
            vhost: self.vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(heartbeat), ..AMQPQueryString::default() },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let vhost = percent_encoding::utf8_percent_encode(&self.vhost, percent_encoding::NON_ALPHANUMERIC);
        write!(f, "{scheme}://{}{}{}:{}/{vhost}", brackets.0, self.host, brackets.1, self.port)
    }
}

/// An AMQP URI as it may be shown; all of one that cannot be read is asterisks, for any part may be the password.
#[must_use]
pub fn masked(uri: &Secret) -> String {
    Address::parse(uri.expose()).map_or_else(|_| "***".to_owned(), |address| address.masked())
}

fn host_and_port(place: &str, default_port: u16) -> Result<(String, u16), &'static str> {
    const HOST: &str =
        "has no valid host and port (write `/`, `?`, `#` and `@` in a password as %2F, %3F, %23 and %40)";
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(HOST)?;
        host.parse::<Ipv6Addr>().map_err(|_| HOST)?;
        let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(HOST)?) };
        (host.to_owned(), port)
    } else {
        let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
        let host = decoded(host)?;
        if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
            return Err(HOST);
        }
        (host, port)
    };
    match port {
        None | Some("") => Ok((host, default_port)),
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => Ok((host, port)),
            _ => Err(HOST),
        },
    }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "has percent-encoded bytes that are not UTF-8")?;
    Ok(text.into_owned())
}

/// The brokers, tried in turn.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    /// Never empty.
    addresses: Vec<Address>,
    next: usize,
}

impl Endpoints {
    /// From `broker.urls_file` when it is set, from `broker.urls` otherwise.
    pub(super) fn from_config(config: &BrokerConfig) -> Result<Self, Vec<Fault>> {
        let (key, uris) = match &config.urls_file {
            Some(path) => ("broker.urls_file", read_uris(path).map_err(|fault| vec![fault])?),
            None => ("broker.urls", config.urls.clone()),
        };
        if uris.is_empty() {
            return Err(vec![Fault::new(key, "names no broker")]);
        }
        let (mut addresses, mut faults) = (Vec::new(), Vec::new());
        for (index, uri) in uris.iter().enumerate() {
            match Address::parse(uri.expose()) {
                Ok(address) => addresses.push(address),
                Err(problem) => faults.push(Fault::new(format!("{key}.{index}"), problem)),
            }
        }
        if faults.is_empty() { Ok(Self { addresses, next: 0 }) } else { Err(faults) }
    }

    pub(super) fn any_tls(&self) -> bool {
        self.addresses.iter().any(|address| address.tls)
    }

    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// The address to try now; the next call gives the one after it.
    pub(super) fn rotate(&mut self) -> Address {
        let address = self.addresses[self.next].clone();
        self.next = (self.next + 1) % self.addresses.len();
        address
    }
}

/// One URI a line; empty lines and lines that start with `#` are left out.
fn read_uris(path: &str) -> Result<Vec<Secret>, Fault> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fault::new("broker.urls_file", format!("cannot be read: {}", error.kind())))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(Secret::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(uri: &str) -> (String, String, String) {
        let address = Address::parse(uri).expect(uri);
        (address.to_string(), address.user.expose().to_owned(), address.password.expose().to_owned())
    }

    #[test]
    fn each_part_has_a_default() {
        let guest = |shown: &str| (shown.to_owned(), "guest".to_owned(), "guest".to_owned());
        assert_eq!(parsed("amqp://mq"), guest("amqp://mq:5672/%2F"));
        assert_eq!(parsed("amqp://mq/"), guest("amqp://mq:5672/%2F"));
        assert_eq!(parsed("amqp://mq/%2f"), guest("amqp://mq:5672/%2F"));
        assert_eq!(parsed("amqp://mq//"), guest("amqp://mq:5672/%2F"));
        assert_eq!(parsed("AMQPS://mq"), guest("amqps://mq:5671/%2F"));
        assert_eq!(parsed("amqp://mq:1234/shop"), guest("amqp://mq:1234/shop"));
    }

    #[test]
    fn an_ipv6_host_stays_itself() {
        let address = Address::parse("amqp://[::1]:5673/a").expect("an address");
        assert_eq!(address.host, "::1");
        assert_eq!(address.to_uri(10).authority.host, "::1");
        assert_eq!(address.to_string(), "amqp://[::1]:5673/a");
        assert_eq!(Address::parse("amqp://[::1]").expect("an address").port, 5672);
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let uri = "amqp://us%40er:p%2Fa%3As%20s@mq:1/v%2fh";
        assert_eq!(parsed(uri), ("amqp://mq:1/v%2Fh".into(), "us@er".into(), "p/a:s s".into()));
        let shown = format!("{:?}", Address::parse(uri).expect("an address"));
        assert!(!shown.contains("us@er") && !shown.contains("p/a"), "{shown}");
        assert_eq!(parsed("amqp://u:a@b@mq").2, "a@b");
        assert_eq!(parsed("amqp://u:@mq").2, "");
    }

    #[test]
    fn a_fault_names_the_url_by_its_place_and_quotes_nothing() {
        let bad = [
            "",
            "mq:5672",
            "http://hunter2@mq",
            "amqp://",
            "amqp://u:hunter2@",
            "amqp://u:hunter2/x@mq",
            "amqp://u:hunter2?x@mq",
            "amqp://u:hunter2#x@mq",
            "amqp://u:hunter2@mq:0",
            "amqp://u:hunter2@mq:65536",
            "amqp://u:hunter2@mq:1:2",
            "amqp://u:hunter2@[::1",
            "amqp://u:hunter2@[::1]5672",
            "amqp://u:hunter2@[mq]",
            "amqp://u:hunter2@::1",
            "amqp://u:hunter2@m q",
            "amqp://u:hunter2%ff@mq",
            "amqp://u:hunter2@mq/?heartbeat=1",
        ];
        let urls = std::iter::once("amqp://fine").chain(bad).map(Secret::new).collect();
        let config = BrokerConfig { urls, ..BrokerConfig::default() };
        let faults = Endpoints::from_config(&config).expect_err("all but one are wrong");
        assert_eq!(faults.len(), bad.len(), "{faults:?}");
        assert_eq!(faults[0].key, "broker.urls.1");
        assert!(faults.iter().all(|fault| !fault.to_string().contains("hunter2")), "{faults:?}");
    }

    #[test]
    fn the_file_takes_the_place_of_the_list_and_addresses_take_turns() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "# brokers\namqp://one\n\n  amqp://two  \n").expect("own file");
        let urls_file = Some(file.path().to_string_lossy().into_owned());
        let mut endpoints =
            Endpoints::from_config(&BrokerConfig { urls_file, ..BrokerConfig::default() }).expect("two addresses");
        let hosts: Vec<String> = (0..3).map(|_| endpoints.rotate().host).collect();
        assert_eq!(hosts, ["one", "two", "one"]);
    }

    #[test]
    fn no_url_at_all_is_a_fault() {
        let fault_of = |config| Endpoints::from_config(&config).expect_err("a fault")[0].key.clone();
        assert_eq!(fault_of(BrokerConfig { urls: Vec::new(), ..BrokerConfig::default() }), "broker.urls");
        let missing = BrokerConfig { urls_file: Some("/nonexistent/urls".into()), ..BrokerConfig::default() };
        assert_eq!(fault_of(missing), "broker.urls_file");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(amqps?://)?[a-z0-9:@/%\\[\\]?#. é-]{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert!(!address.host.is_empty() && !address.vhost.is_empty() && address.port > 0);
            }
        }

        #[test]
        fn any_credentials_survive_percent_encoding(user in ".{0,20}", password in ".{0,20}", vhost in ".{1,20}") {
            let encode = |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
            let uri = format!("amqp://{}:{}@mq/{}", encode(&user), encode(&password), encode(&vhost));
            let address = Address::parse(&uri).expect("encoded");
            prop_assert_eq!((address.user.expose(), address.password.expose(), address.vhost.as_str()), (&*user, &*password, &*vhost));
        }
    }
}
