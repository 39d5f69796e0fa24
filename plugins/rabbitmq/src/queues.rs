//! What the queues of subscriptions are called.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::QueueNames;

/// The queues that this broker's subscriptions have by the name that they were given.
#[derive(Default)]
pub(crate) struct Taken(Mutex<HashMap<String, Owner>>);

/// Whose topic has the name alone, and how many subscriptions, of whatever topic, were given it.
struct Owner {
    topic: String,
    subscriptions: usize,
}

/// A subscription's hold of its queue's name.
pub(crate) struct Name {
    taken: Arc<Taken>,
    given: String,
    /// What RabbitMQ's queue is called.
    pub(crate) text: String,
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a queue for a topic. The first topic that asks has the name alone, as long as anybody has it.
    pub(crate) fn name(self: &Arc<Self>, names: QueueNames, given: &str, topic: &str) -> Name {
        let mut taken = self.lock();
        let owner = taken.entry(given.to_owned()).or_insert_with(|| Owner {
            topic: topic.to_owned(),
            subscriptions: 0,
        });
        owner.subscriptions += 1;
        let is_alone = names == QueueNames::AsGiven && owner.topic == topic;
        Name {
            taken: self.clone(),
            given: given.to_owned(),
            text: if is_alone {
                given.to_owned()
            } else {
                format!("{given}:{topic}")
            },
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        if let Some(owner) = taken.get_mut(&self.given) {
            owner.subscriptions -= 1;
            if owner.subscriptions == 0 {
                taken.remove(&self.given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_topic_has_the_name_alone_and_others_have_it_with_their_own() {
        let taken = Arc::new(Taken::default());
        let name = |topic| taken.name(QueueNames::AsGiven, "workers", topic);
        let (orders, mails, again) = (name("orders"), name("mails"), name("orders"));
        assert_eq!(
            [&*orders.text, &*mails.text, &*again.text],
            ["workers", "workers:mails", "workers"]
        );
        drop((orders, again));
        assert_eq!(name("orders").text, "workers", "as long as anybody has it");
        drop(mails);
        assert_eq!(name("mails").text, "workers");
        assert!(taken.lock().is_empty());
        assert_eq!(
            taken.name(QueueNames::PerTopic, "workers", "orders").text,
            "workers:orders"
        );
    }
}
