//! The table of all mappings: compiled with every fault at once, asked once per message. What one mapping makes of a message is the rule's.

use super::config::MappingConfig;
use super::pattern::{Key, Word};
use super::problem::Problem;
use super::reject::{Reason, Reject};
use super::rule::{Made, Rule};
use super::source::MessageView;
use super::trie::Trie;
use super::{MAX_MAPPINGS, MAX_VALUE_BYTES};
use crate::event::{Event, EventName, Message};
use crate::setting::Fault;

/// Every `[[mapping]]` of a configuration, ready to map messages.
#[derive(Debug)]
pub struct MappingTable {
    rules: Vec<Rule>,
    trie: Trie,
    reserved_prefix: Box<str>,
}

/// What became of one message. Without events there is at least one reject.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Mapped {
    /// In the order of their mappings.
    pub events: Vec<Event>,
    pub rejects: Vec<Reject>,
    /// How many of the events had a reserved name and got the prefix.
    pub renamed: usize,
}

/// What one mapping that a routing key reaches makes of a message.
#[derive(Debug, PartialEq, Eq)]
pub struct Step<'t> {
    /// Index of the mapping in the configuration.
    pub mapping: usize,
    /// Its pattern as it is written there.
    pub routing_key: &'t str,
    pub outcome: Result<Event, Reason>,
}

impl MappingTable {
    /// Compiles the mappings, or tells all their faults at once, with keys such as `mapping.2.routing_key`.
    /// `reserved_prefix` is put before event names that are reserved.
    pub fn compile(mappings: &[MappingConfig], reserved_prefix: &str) -> Result<Self, Vec<Fault>> {
        if mappings.len() > MAX_MAPPINGS {
            return Err(vec![Fault::new("mapping", Problem::TooManyMappings.to_string())]);
        }
        let mut faults: Vec<Fault> = check_prefix(reserved_prefix)
            .map(|problem| Fault::new("stream.reserved_prefix", problem.to_string()))
            .into_iter()
            .collect();
        let compile = |(place, mapping)| Rule::compile(mapping, place, reserved_prefix, &mut faults);
        let rules: Vec<Rule> = mappings.iter().enumerate().filter_map(compile).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut trie = Trie::new();
        for (number, rule) in rules.iter().enumerate() {
            trie.insert(&rule.pattern.normal_form(), number);
        }
        Ok(Self { rules, trie, reserved_prefix: reserved_prefix.into() })
    }

    /// The AMQP binding keys that together match what the mappings match, each at most 255 bytes; none is there twice
    /// and none that another one covers.
    #[must_use]
    pub fn binding_keys(&self) -> Vec<String> {
        let forms: Vec<_> = self.rules.iter().map(|rule| rule.pattern.normal_form()).collect();
        let needed = |number: usize| {
            // Of equal patterns the first one stands for all.
            let spare = |&other: &usize| other < number || forms[other] != forms[number];
            !self.trie.covering(forms[number].iter().copied()).iter().any(spare)
        };
        (0..forms.len())
            .filter(|&number| needed(number))
            .map(|number| self.rules[number].pattern.binding_key())
            .collect()
    }

    /// The names of events that the configuration writes out, in the order of the mappings.
    pub fn event_names(&self) -> impl Iterator<Item = &EventName> {
        self.rules.iter().filter_map(Rule::event_name)
    }

    /// Warnings: mappings that no message reaches, since an earlier one without `continue` takes every key they match.
    /// Several earlier mappings that only together do so are not noticed.
    #[must_use]
    pub fn unreachable(&self) -> Vec<Fault> {
        let blocked = |(number, rule): (usize, &Rule)| {
            let covering = self.trie.covering(rule.pattern.normal_form().into_iter());
            let first = covering.into_iter().find(|&other| other < number && !self.rules[other].carry_on)?;
            Some(Fault::new(
                format!("mapping.{number}"),
                format!(
                    "is never reached: mapping.{first} takes all its routing keys and does not say `continue = true`"
                ),
            ))
        };
        self.rules.iter().enumerate().filter_map(blocked).collect()
    }

    /// Decides what becomes of a message.
    ///
    /// The cost grows with the words of the routing key and the mappings that match it, not with the table.
    #[must_use]
    pub fn map(&self, message: &Message) -> Mapped {
        let key = Key::new(&message.routing_key);
        let view = MessageView::new(message);
        let mut mapped = Mapped::default();
        for place in self.reached(&key) {
            match self.follow(place, &key, &view) {
                Ok(made) => {
                    mapped.renamed += usize::from(made.renamed);
                    mapped.events.push(made.event);
                }
                Err(reason) => mapped.rejects.push(Reject { reason, mapping: Some(place) }),
            }
        }
        if mapped.events.is_empty() && mapped.rejects.is_empty() {
            mapped.rejects.push(Reject { reason: Reason::NoMapping, mapping: None });
        }
        mapped
    }

    /// As [`MappingTable::map`], mapping by mapping, for whoever wants to know what happened.
    #[must_use]
    pub fn trace(&self, message: &Message) -> Vec<Step<'_>> {
        let key = Key::new(&message.routing_key);
        let view = MessageView::new(message);
        let step = |mapping: usize| Step {
            mapping,
            routing_key: &self.rules[mapping].routing_key,
            outcome: self.follow(mapping, &key, &view).map(|made| made.event),
        };
        self.reached(&key).into_iter().map(step).collect()
    }

    /// The pattern, as it is written, of the first mapping that a key reaches.
    #[must_use]
    pub fn pattern_of(&self, routing_key: &str) -> Option<&str> {
        self.reached(&Key::new(routing_key)).first().map(|&place| &*self.rules[place].routing_key)
    }

    /// The patterns of all mappings as they are written, in their order.
    pub fn routing_keys(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.routing_key)
    }

    fn follow<'a>(&'a self, place: usize, key: &Key<'a>, message: &MessageView<'a>) -> Result<Made, Reason> {
        let rule = &self.rules[place];
        let captures = rule.pattern.captures(key).expect("the trie names only patterns that match");
        rule.apply(message, &captures, &self.reserved_prefix)
    }

    /// The mappings that a key reaches: those that match, up to the first that does not carry on.
    fn reached(&self, key: &Key<'_>) -> Vec<usize> {
        let mut matching = self.trie.covering(key.words().iter().map(|word| Word::Literal(*word)));
        if let Some(last) = matching.iter().position(|&place| !self.rules[place].carry_on) {
            matching.truncate(last + 1);
        }
        matching
    }
}

fn check_prefix(prefix: &str) -> Option<Problem> {
    if prefix.len() > MAX_VALUE_BYTES {
        return Some(Problem::ValueTooLong);
    }
    let reserved = |name: &&str| EventName::new(&format!("{prefix}{name}")).is_reserved();
    EventName::RESERVED.into_iter().find(reserved).map(Problem::PrefixUseless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::OneOrMany;
    use crate::topic::{naive_match, words};
    use proptest::prelude::*;

    fn mapping(routing_key: &str, event: &str, carry_on: bool) -> MappingConfig {
        let (routing_key, event) = (routing_key.to_owned(), event.to_owned());
        MappingConfig { routing_key, event, carry_on, everyone: true, ..MappingConfig::default() }
    }

    fn one(text: &str) -> OneOrMany {
        OneOrMany(vec![text.to_owned()])
    }

    fn table(mappings: &[MappingConfig]) -> MappingTable {
        MappingTable::compile(mappings, "app-").unwrap()
    }

    fn keyed(routing_key: &str) -> Message {
        Message { routing_key: routing_key.into(), ..Message::default() }
    }

    fn names(mapped: &Mapped) -> Vec<&str> {
        mapped.events.iter().map(|event| event.name.as_str()).collect()
    }

    #[test]
    fn the_first_match_wins_unless_it_says_continue() {
        let table = table(&[mapping("a.#", "m0", true), mapping("a.b", "m1", false), mapping("#", "m2", false)]);
        assert_eq!(names(&table.map(&keyed("a.b"))), ["m0", "m1"]);
        assert_eq!(names(&table.map(&keyed("a.c"))), ["m0", "m2"]);
        assert_eq!(names(&table.map(&keyed(""))), ["m2"]);
    }

    #[test]
    fn a_rejected_mapping_ends_the_search_like_any_other() {
        let mappings = |carry_on| [mapping("a", "{header:h}", carry_on), mapping("#", "m1", false)];
        let reject = Reject { reason: Reason::HeaderMissing, mapping: Some(0) };
        let ended = table(&mappings(false)).map(&keyed("a"));
        assert_eq!((names(&ended), &ended.rejects[..]), (vec![], &[reject][..]));
        let continued = table(&mappings(true)).map(&keyed("a"));
        assert_eq!((names(&continued), &continued.rejects[..]), (vec!["m1"], &[reject][..]));
    }

    #[test]
    fn a_key_that_nothing_matches_is_one_reject() {
        let none = [Reject { reason: Reason::NoMapping, mapping: None }];
        assert_eq!(table(&[mapping("a.*", "", false)]).map(&keyed("a")).rejects, none);
        assert_eq!(table(&[]).map(&keyed("a")).rejects, none);
    }

    #[test]
    fn every_fault_is_told_at_once_with_its_key() {
        let mappings = [
            MappingConfig { routing_key: "a".into(), ..MappingConfig::default() },
            MappingConfig { user: one("{x}"), event: "{property:x}".into(), ..MappingConfig::default() },
            MappingConfig {
                user: OneOrMany(vec!["ok".into(), "{nope}".into(), String::new()]),
                channel: one("{"),
                data: "x".into(),
                ..mapping("{a}.{a}", "", false)
            },
            MappingConfig { user: one("{b}"), ..mapping("{a}", "{b", false) },
        ];
        let faults = MappingTable::compile(&mappings, "").unwrap_err();
        let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "stream.reserved_prefix",
                "mapping.0",
                "mapping.1.routing_key",
                "mapping.1.event",
                "mapping.2.routing_key",
                "mapping.2.user.2",
                "mapping.2.channel",
                "mapping.2.user",
                "mapping.2.channel",
                "mapping.2.data",
                "mapping.3.user",
                "mapping.3.user",
                "mapping.3.event",
            ]
        );
        assert!(faults[10].problem.contains("`{b}`"), "{}", faults[10]);
    }

    #[test]
    fn binding_keys_are_derived_once_and_only_where_needed() {
        let keys = ["user.{user}.#", "user.{u...}", "user.1.x", "order.*.updated", "order.{id}.updated"];
        let table = table(&keys.map(|key| mapping(key, "", false)));
        assert_eq!(table.binding_keys(), ["user.*.#", "order.*.updated"]);
    }

    #[test]
    fn the_names_that_are_written_out_are_known_as_they_are_sent() {
        let table = table(&["paid", "{header:kind}", "error", ""].map(|event| mapping("a", event, true)));
        let names: Vec<_> = table.event_names().map(EventName::as_str).collect();
        assert_eq!(names, ["paid", "app-error", "message"]);
    }

    #[test]
    fn a_mapping_behind_one_that_takes_everything_is_unreachable() {
        let mappings = [
            mapping("a.#", "", true),
            mapping("a.*.#", "", false),
            mapping("a.{b...}", "", false),
            mapping("a", "", false),
        ];
        let warnings = table(&mappings).unreachable();
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].key, "mapping.2");
        assert!(warnings[0].problem.contains("mapping.1 "), "{}", warnings[0]);
    }

    #[test]
    fn a_trace_names_each_mapping_that_is_reached_and_what_became_of_it() {
        let mappings = [mapping("a.{x}", "{header:h}", true), mapping("a.*", "m1", false), mapping("#", "m2", false)];
        let table = table(&mappings);
        let message = keyed("a.b");
        let steps: Vec<_> = table.trace(&message);
        let told: Vec<_> = steps.iter().map(|step| (step.mapping, step.routing_key, step.outcome.is_ok())).collect();
        assert_eq!(told, [(0, "a.{x}", false), (1, "a.*", true)]);
        assert_eq!(steps[0].outcome, Err(Reason::HeaderMissing));
        assert_eq!(table.routing_keys().collect::<Vec<_>>(), ["a.{x}", "a.*", "#"]);
    }

    #[test]
    fn there_is_a_limit_to_mappings() {
        let faults = MappingTable::compile(&vec![mapping("a", "", true); MAX_MAPPINGS + 1], "app-").unwrap_err();
        assert_eq!(faults, [Fault::new("mapping", "are more than 65535")]);
    }

    fn key() -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(&["a", "b", "c", "", "*", "#"][..]), 0..6)
            .prop_map(|words| words.join("."))
    }

    prop_compose! {
        /// Mappings named by their place, each with its pattern as AMQP writes it, derived apart from the code under test.
        fn mappings()(written in proptest::collection::vec(
            (proptest::collection::vec(0..7_usize, 1..6), any::<bool>()), 1..9,
        )) -> Vec<(MappingConfig, String)> {
            let build = |(place, (words, carry_on)): (usize, (Vec<usize>, bool))| {
                let own = words.iter().enumerate().map(|(n, &word)| {
                    ["a".into(), "b".into(), "c".into(), "*".into(), "#".into(), format!("{{c{n}}}"), format!("{{c{n}...}}")]
                        [word].clone()
                });
                let amqp = words.iter().map(|&word| ["a", "b", "c", "*", "#", "*", "*.#"][word]);
                let own = own.collect::<Vec<String>>().join(".");
                (mapping(&own, &format!("m{place}"), carry_on), amqp.collect::<Vec<_>>().join("."))
            };
            written.into_iter().enumerate().map(build).collect()
        }
    }

    /// Half of it text that some setting takes, half of it text near to that.
    fn config_text() -> impl Strategy<Value = String> {
        const SOUND: [&str; 9] = ["a", "{a}.b", "{a}-b", "#", "{header:a}", "{body:/a}", "{property:type}", "/a/0", ""];
        prop_oneof![
            proptest::sample::select(&SOUND[..]).prop_map(str::to_owned),
            "([ab.{}*#/~:]|header|property:type|body:/a|é|\\PC){0,6}",
        ]
    }

    fn naive(pattern: &str, key: &str) -> bool {
        naive_match(&words(pattern).collect::<Vec<_>>(), &words(key).collect::<Vec<_>>())
    }

    proptest! {
        #[test]
        fn the_table_reaches_what_a_scan_reaches(written in mappings(), keys in proptest::collection::vec(key(), 8)) {
            let (configs, patterns): (Vec<_>, Vec<_>) = written.into_iter().unzip();
            let table = table(&configs);
            let unreachable: Vec<String> = table.unreachable().into_iter().map(|fault| fault.key).collect();
            for key in keys {
                let mut expected = Vec::new();
                for place in (0..configs.len()).filter(|&place| naive(&patterns[place], &key)) {
                    expected.push(configs[place].event.as_str());
                    let warned = unreachable.contains(&format!("mapping.{place}"));
                    prop_assert!(!warned, "mapping.{} is reached by {}", place, key);
                    if !configs[place].carry_on {
                        break;
                    }
                }
                let mapped = table.map(&keyed(&key));
                prop_assert_eq!(names(&mapped), expected);
                let traced = table.trace(&keyed(&key)).into_iter().filter_map(|step| step.outcome.ok());
                prop_assert_eq!(traced.collect::<Vec<_>>(), mapped.events);
            }
        }

        #[test]
        fn the_binding_keys_match_what_the_mappings_match(written in mappings(), keys in proptest::collection::vec(key(), 8)) {
            let (configs, patterns): (Vec<_>, Vec<_>) = written.into_iter().unzip();
            let bound = table(&configs).binding_keys();
            for key in keys {
                let mapped = patterns.iter().any(|pattern| naive(pattern, &key));
                prop_assert_eq!(bound.iter().any(|binding| naive(binding, &key)), mapped, "{:?} {}", bound, key);
            }
        }

        #[test]
        fn any_configuration_is_compiled_or_refused(
            texts in proptest::collection::vec(config_text(), 6),
            everyone: bool,
            body in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let config = MappingConfig {
                routing_key: texts[0].clone(),
                user: one(&texts[1]),
                channel: if everyone { OneOrMany::default() } else { one(&texts[2]) },
                event: texts[3].clone(),
                data: texts[4].clone(),
                ..MappingConfig::default()
            };
            match MappingTable::compile(&[config], &texts[5]) {
                Ok(table) => {
                    let mapped = table.map(&Message { body: body.into(), ..keyed(&texts[0]) });
                    prop_assert_eq!(mapped.events.len() + mapped.rejects.len(), 1);
                }
                Err(faults) => prop_assert!(faults.iter().all(|fault| !fault.key.is_empty() && !fault.problem.is_empty())),
            }
        }
    }
}
