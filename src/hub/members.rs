//! Which subscribers of one shard belong to an audience; numbers only, no streams.

use hashbrown::HashMap;
use indexmap::IndexSet;

use crate::event::Audience;

/// Subscribers by audience. Adding, removing and finding cost the same however many there are.
#[derive(Debug, Default)]
pub(super) struct Members {
    by_audience: HashMap<Audience, Group>,
}

/// Most audiences are users, and most users have one stream here.
#[derive(Debug)]
enum Group {
    One(usize),
    Many(Box<IndexSet<usize, hashbrown::DefaultHashBuilder>>),
}

impl Members {
    pub(super) fn add(&mut self, audience: &Audience, key: usize) {
        let Some(group) = self.by_audience.get_mut(audience) else {
            self.by_audience.insert(audience.clone(), Group::One(key));
            return;
        };
        match group {
            Group::One(other) => {
                let keys = IndexSet::from_iter([*other, key]);
                *group = Group::Many(Box::new(keys));
            }
            Group::Many(keys) => {
                keys.insert(key);
            }
        }
    }

    /// True when nobody of this shard belongs to `audience` any more.
    pub(super) fn remove(&mut self, audience: &Audience, key: usize) -> bool {
        let empty = match self.by_audience.get_mut(audience) {
            Some(Group::One(only)) => *only == key,
            Some(Group::Many(keys)) => {
                keys.swap_remove(&key);
                keys.is_empty()
            }
            None => true,
        };
        if empty {
            self.by_audience.remove(audience);
        }
        empty
    }

    /// The subscribers of `audience`, in no particular order.
    pub(super) fn of(&self, audience: &Audience) -> impl Iterator<Item = usize> {
        let (one, many) = match self.by_audience.get(audience) {
            Some(Group::One(key)) => (Some(*key), None),
            Some(Group::Many(keys)) => (None, Some(keys.iter().copied())),
            None => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn members_agree_with_a_plain_set(steps in proptest::collection::vec((any::<bool>(), 0u8..3, 0usize..6), 0..200)) {
            let mut members = Members::default();
            let mut model = BTreeSet::new();
            for (add, name, key) in steps {
                let audience = Audience::User(name.to_string().into());
                if add && model.insert((name, key)) {
                    members.add(&audience, key);
                } else if !add && model.remove(&(name, key)) {
                    let last = !model.iter().any(|(other, _)| *other == name);
                    prop_assert_eq!(members.remove(&audience, key), last);
                }
                let found: BTreeSet<_> = members.of(&audience).collect();
                let expected: BTreeSet<_> = model.iter().filter(|(other, _)| *other == name).map(|(_, key)| *key).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
