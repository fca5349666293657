//! What may be written on the command line; what each command does lives elsewhere. No secret need be a flag: every process can read those.

use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};

use crate::config::{Flag, Sources};

/// Streams the messages of a RabbitMQ exchange to browsers as Server-Sent Events.
///
/// Settings come from config.toml, environment variables (`COTTONTAIL__BROKER__EXCHANGE`) and flags.
#[derive(Debug, Parser)]
#[command(name = "cottontail", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

impl Cli {
    /// The command; `run` where none is named.
    #[must_use]
    pub fn command(self) -> Command {
        self.command.unwrap_or(Command::Run(self.run))
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stream the exchange to browsers (also without a command)
    Run(RunArgs),
    /// Try it with nothing else on this machine: an exchange in memory, a page at /, loopback only
    Dev(DevArgs),
    /// List every fault of the configuration at once; exit code 2 if there is one
    Check(ConfigArgs),
    /// Have the running process end its streams in good order; returns when it has, as a preStop hook does
    Drain(DrainArgs),
    /// Open streams through whatever stands in front, and say what buffers, compresses, cuts or strips them
    ///
    /// Exit code 0: nothing stands in the way of events; 1: something does; 2: it could not be found out.
    Doctor(DoctorArgs),
    /// Show the settings in effect, or what settings there are
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a token signed with a configured secret, or a key for a machine
    Token(TokenArgs),
    /// Publish one message to the configured exchange
    Publish(PublishArgs),
    /// End streams on every replica, and revoke their token
    Disconnect(DisconnectArgs),
    /// Say whether a subscriber would get a message, and why; exit code 1 if not
    Explain(ExplainArgs),
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the settings in effect, each with its source, without secrets
    Show(RunArgs),
    /// Print a JSON schema of the settings file, for editors
    Schema,
}

/// Where the settings are.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArgs {
    /// Settings file [default: config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl ConfigArgs {
    /// The file, and the environment of this process.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources { file: self.config.clone(), environment: env::vars_os().collect(), flags: Vec::new() }
    }
}

#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Address for browsers, over server.listen
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Level or filter directives, over log.level
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

impl RunArgs {
    #[must_use]
    pub fn sources(&self) -> Sources {
        let listen = Flag::given("--listen", "server.listen", self.listen.as_ref());
        let log = Flag::given("--log", "log.level", self.log.as_ref());
        Sources { flags: listen.into_iter().chain(log).collect(), ..self.config.sources() }
    }
}

#[derive(Args, Clone, Debug)]
pub struct DevArgs {
    /// Loopback address to serve the page and the streams at
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = loopback)]
    pub listen: SocketAddr,
    /// Level or filter directives
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct DisconnectArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    /// What the streams are told
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// How long a token or session stays revoked [default: control.remember]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub revoke_for: Option<Duration>,
}

/// Whose streams are ended.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct TargetArgs {
    /// Those of a user
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Those that get a channel
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// The one with this connectionId
    #[arg(long, value_name = "ID")]
    pub connection: Option<String>,
    /// Those of the token with this `jti`, which is refused from then on
    #[arg(long, value_name = "ID")]
    pub jti: Option<String>,
    /// Those of this session's tokens, all of which are refused from then on
    #[arg(long, value_name = "ID")]
    pub sid: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The process's admin listener [default: http://, and admin.listen of the settings]
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// The stream as browsers ask for it, as in `https://app.example.com/events`
    #[arg(long)]
    pub url: String,
    /// File with a token for it, or - to read one from standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file of certificate authorities, in place of the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// How long to watch for a stream that is cut; longer than the limits that are suspected
    #[arg(long, value_name = "TIME", default_value = "70s", value_parser = humantime::parse_duration)]
    pub watch: Duration,
}

#[derive(Args, Clone, Debug)]
pub struct TokenArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// User id
    #[arg(long, value_name = "ID", required_unless_present = "api_key", value_parser = NonEmptyStringValueParser::new())]
    pub user: Option<String>,
    /// Print a new key for a machine instead, and the `[[auth.api_key]]` table for it
    #[arg(long, conflicts_with_all = ["user", "channels", "expires_in", "issuer_index"])]
    pub api_key: bool,
    /// Channels or channel patterns to grant, with commas between
    #[arg(long, value_name = "CHANNEL,…", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub channels: Vec<String>,
    /// Lifetime
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub expires_in: Duration,
    /// Which [[auth.issuer]] signs, counted from 0
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub issuer_index: usize,
}

#[derive(Args, Clone, Debug)]
pub struct PublishArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub message: MessageArgs,
    /// Body, or - to read it from standard input
    pub body: String,
}

/// A message without its body.
#[derive(Args, Clone, Debug)]
pub struct MessageArgs {
    /// Routing key
    #[arg(long)]
    pub key: String,
    /// Message header; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = pair)]
    pub headers: Vec<(String, String)>,
    /// Message property, such as type; the names are AMQP's; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = pair)]
    pub properties: Vec<(String, String)>,
}

#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    #[command(flatten)]
    pub who: WhoArgs,
    #[command(flatten)]
    pub message: MessageArgs,
    /// Body, or - to read it from standard input
    #[arg(default_value = "")]
    pub body: String,
}

/// Whom an explanation is about.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct WhoArgs {
    /// The bearer of this token, or of the one that standard input holds with -
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// The bearer of a token with these claims, a JSON object
    #[arg(long, value_name = "JSON")]
    pub claims: Option<String>,
    /// The machine whose `[[auth.api_key]]` has this name
    #[arg(long, value_name = "NAME")]
    pub api_key: Option<String>,
    /// Somebody without a token
    #[arg(long)]
    pub anonymous: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, &'static str> {
    let address: SocketAddr = text.parse().map_err(|_| "expected an address and a port, as in 127.0.0.1:8080")?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("`dev` lets everybody in, so it listens on loopback addresses only (127.0.0.1 or [::1])")
    }
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(Cli::command)
    }

    #[test]
    fn the_definitions_are_sound() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn run_needs_no_name() {
        for line in
            ["cottontail --config a.toml --listen [::]:1 --log debug", "cottontail run --listen [::]:1 --log debug"]
        {
            let Ok(Command::Run(args)) = parse(line) else { panic!("{line} is no run") };
            let flags: Vec<_> = args.sources().flags.into_iter().map(|flag| (flag.key, flag.value)).collect();
            assert_eq!(flags, [("server.listen", "[::]:1".to_owned()), ("log.level", "debug".to_owned())]);
        }
        assert!(matches!(parse("cottontail"), Ok(Command::Run(_))));
        assert!(parse("cottontail --listen [::]:1 check").is_err());
    }

    #[test]
    fn dev_is_refused_beyond_loopback_with_exit_code_2() {
        let Ok(Command::Dev(args)) = parse("cottontail dev") else { panic!("dev needs no argument") };
        assert_eq!(args.listen, "127.0.0.1:8080".parse().unwrap());
        assert!(parse("cottontail dev --listen [::1]:0").is_ok());
        for address in ["0.0.0.0:8080", "10.0.0.1:80", "[::]:80", "localhost"] {
            let refused = parse(&format!("cottontail dev --listen {address}")).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{address}");
        }
    }

    #[test]
    fn a_token_has_channels_with_commas_and_an_hour() {
        let Ok(Command::Token(args)) = parse("cottontail token --user 42 --channels a,b.#") else { panic!("no token") };
        assert_eq!((args.user.as_deref(), args.channels), (Some("42"), vec!["a".to_owned(), "b.#".to_owned()]));
        assert_eq!((args.expires_in, args.issuer_index), (Duration::from_secs(3600), 0));
        assert!(parse("cottontail token --channels a").is_err());
        assert!(parse("cottontail token --user 1 --secret s").is_err());
        assert!(matches!(parse("cottontail token --api-key"), Ok(Command::Token(args)) if args.api_key));
        assert!(parse("cottontail token --api-key --user 1").is_err());
    }

    #[test]
    fn an_explanation_is_about_exactly_one_subscriber() {
        let Ok(Command::Explain(args)) = parse("cottontail explain --claims {} --key a") else { panic!("no explain") };
        assert_eq!((args.who.claims.as_deref(), args.body.as_str()), (Some("{}"), ""));
        assert!(parse("cottontail explain --key a").is_err());
        assert!(parse("cottontail explain --key a --anonymous --token t").is_err());
        assert!(parse("cottontail explain --anonymous").is_err());
    }

    #[test]
    fn a_message_has_headers_and_properties_with_an_equals_sign() {
        let line = "cottontail publish --key a.b --header x=1=2 --header y= --property type=t -";
        let Ok(Command::Publish(args)) = parse(line) else { panic!("no publish") };
        assert_eq!((args.message.key.as_str(), args.body.as_str()), ("a.b", "-"));
        assert_eq!(args.message.headers, [("x".to_owned(), "1=2".to_owned()), ("y".to_owned(), String::new())]);
        assert_eq!(args.message.properties, [("type".to_owned(), "t".to_owned())]);
        assert!(parse("cottontail publish --key a --header x body").is_err());
    }
}
