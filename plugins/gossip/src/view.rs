//! What the living members have registered.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use chitchat::{Chitchat, ChitchatId};

/// One entry of a member.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(crate) member: &'a ChitchatId,
    /// Grows with each change of the member.
    pub(crate) version: u64,
    pub(crate) value: &'a str,
}

/// The entries whose keys begin with a prefix, by key. Of members that have the same key, the one that began last counts.
pub(crate) fn entries<'a>(chitchat: &'a Chitchat, prefix: &'a str) -> BTreeMap<&'a str, Held<'a>> {
    let mut entries: BTreeMap<&str, Held<'_>> = BTreeMap::new();
    for member in living(chitchat) {
        let Some(state) = chitchat.node_state(member) else {
            continue;
        };
        for (key, versioned) in state.iter_prefix(prefix) {
            let held = Held {
                member,
                version: versioned.version,
                value: &versioned.value,
            };
            // Without a value, it was taken out.
            let is_newest = entries
                .get(key)
                .is_none_or(|known| age(known.member) < age(member));
            if !held.value.is_empty() && is_newest {
                entries.insert(key, held);
            }
        }
    }
    entries
}

/// The members that are alive. Two cannot have one address: the older one was there before a restart.
fn living(chitchat: &Chitchat) -> impl Iterator<Item = &ChitchatId> {
    let mut newest: HashMap<SocketAddr, &ChitchatId> = HashMap::new();
    for member in chitchat.live_nodes() {
        let known = newest.entry(member.gossip_advertise_addr).or_insert(member);
        if age(known) < age(member) {
            *known = member;
        }
    }
    newest.into_values()
}

fn age(member: &ChitchatId) -> (u64, &str) {
    (member.generation_id, &member.node_id)
}

/// The addresses of the other members that are alive.
pub(crate) fn peers(chitchat: &Chitchat) -> Vec<SocketAddr> {
    let own = chitchat.self_chitchat_id().gossip_advertise_addr;
    let addresses = chitchat.live_nodes().map(|member| member.gossip_advertise_addr);
    addresses.filter(|address| *address != own).collect()
}

/// How many other members are alive, and how many are known of.
pub(crate) fn counts(chitchat: &Chitchat) -> (usize, usize) {
    (
        chitchat.live_nodes().count() - 1,
        chitchat.node_states().len().saturating_sub(1),
    )
}
