//! What a stream may hear, written once more from the README as plainly as possible; nothing of the product is used here.

/// Channels of the endpoint that come without being asked for, where they are granted.
pub const DEFAULTS: [&str; 2] = ["a.b", "team.red.x"];

/// A name of so many bytes.
pub fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

/// What a token says.
#[derive(Clone, Debug)]
pub struct Claims {
    pub user: Option<String>,
    pub channels: Vec<String>,
    pub team: Option<String>,
}

/// What the configuration says.
#[derive(Clone, Debug)]
pub struct Settings {
    pub public: Vec<String>,
    /// Whether a team is granted `team.{claim:/team}.#`.
    pub teams: bool,
    pub anonymous: bool,
}

/// For whom a message is; a name may be empty, and then it is for nobody.
#[derive(Clone, Debug)]
pub enum Target {
    Everyone,
    User(String),
    Channel(String),
    Both { user: String, channel: String },
}

/// What one stream may hear at one time.
#[derive(Clone, Debug)]
pub struct Rights {
    user: Option<String>,
    grants: Vec<String>,
    asked: Option<Vec<String>>,
}

impl Rights {
    /// None for who may not have a stream; without claims it is the anonymous subscriber.
    pub fn of(claims: Option<&Claims>, settings: &Settings, asked: Option<&[String]>) -> Option<Self> {
        if claims.is_none() && !settings.anonymous {
            return None;
        }
        let mut grants = settings.public.clone();
        grants.extend(claims.iter().flat_map(|claims| claims.channels.clone()));
        let team = claims.and_then(|claims| claims.team.as_deref()).filter(|_| settings.teams);
        if let Some(team) = team.filter(|team| !team.is_empty() && !team.contains('.') && !is_wildcard(team)) {
            grants.push(format!("team.{team}.#"));
        }
        let user = claims.and_then(|claims| claims.user.clone());
        Some(Self { user, grants, asked: asked.map(<[String]>::to_vec) })
    }

    pub fn hears(&self, target: &Target) -> bool {
        match target {
            Target::Everyone => true,
            Target::User(user) => self.is_user(user),
            Target::Channel(channel) => self.gets(channel),
            Target::Both { user, channel } => {
                !user.is_empty() && !channel.is_empty() && (self.is_user(user) || self.gets(channel))
            }
        }
    }

    fn is_user(&self, user: &str) -> bool {
        !user.is_empty() && self.user.as_deref() == Some(user)
    }

    fn gets(&self, channel: &str) -> bool {
        let wanted = match &self.asked {
            Some(asked) => asked.iter().any(|name| name == channel),
            None => DEFAULTS.contains(&channel) || self.grants.iter().any(|grant| is_name(grant) && grant == channel),
        };
        !channel.is_empty() && wanted && self.grants.iter().any(|grant| matches(grant, channel))
    }
}

fn is_wildcard(word: &str) -> bool {
    word == "*" || word == "#"
}

/// Whether it names one channel, and is no pattern.
pub fn is_name(text: &str) -> bool {
    !text.split('.').any(is_wildcard)
}

fn matches(pattern: &str, channel: &str) -> bool {
    fn from(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern, words) {
            ([], words) => words.is_empty(),
            (["#", rest @ ..], words) => (0..=words.len()).any(|taken| from(rest, &words[taken..])),
            ([first, rest @ ..], [word, words @ ..]) => (*first == "*" || first == word) && from(rest, words),
            (_, []) => false,
        }
    }
    from(&pattern.split('.').collect::<Vec<_>>(), &channel.split('.').collect::<Vec<_>>())
}
