//! The leases that keep nodes alive: one for each node, renewed when it is registered again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use micro_core::{ErrorKind, Result};
use micro_etcd_connection::EtcdClient;
use micro_etcd_connection::proto::{
    LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_REVOKE, LeaseGrantRequest, LeaseGrantResponse,
    LeaseKeepAliveResponse, LeaseRequest, LeaseRevokeResponse,
};

/// A lease that etcd granted, and the whole seconds that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    pub(crate) seconds: i64,
}

/// The lease of each key that was registered here, and the revision that attached it.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<HashMap<String, (Lease, i64)>>);

impl Leases {
    pub(crate) fn of(&self, key: &str) -> Option<Lease> {
        self.lock().get(key).map(|(lease, _)| *lease)
    }

    /// Notes which lease a key has since a revision. Returns the one of two that the key does not have any more.
    pub(crate) fn note(&self, key: &str, lease: Lease, revision: i64) -> Option<Lease> {
        let mut held = self.lock();
        match held.get(key) {
            Some((newer, since)) if *since > revision => Some(lease).filter(|lease| lease.id != newer.id),
            _ => {
                let before = held.insert(key.to_owned(), (lease, revision));
                before
                    .map(|(before, _)| before)
                    .filter(|before| before.id != lease.id)
            }
        }
    }

    /// Forgets the lease of a key.
    pub(crate) fn take(&self, key: &str) -> Option<Lease> {
        self.lock().remove(key).map(|(lease, _)| lease)
    }

    /// Forgets a lease that etcd does not know any more, unless the key has another one by now.
    pub(crate) fn lost(&self, key: &str, lease: Lease) {
        let mut held = self.lock();
        if held.get(key).is_some_and(|(known, _)| *known == lease) {
            held.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Lease, i64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time to live in etcd's whole seconds, rounded up.
pub(crate) fn seconds(ttl: Duration) -> i64 {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    // etcd's longest is 9 000 000 000 s, and larger numbers are refused.
    i64::try_from(whole.clamp(1, 9_000_000_000)).unwrap_or(1)
}

pub(crate) async fn grant(client: &EtcdClient, seconds: i64) -> Result<Lease> {
    let granted: LeaseGrantResponse = client
        .call(LEASE_GRANT, LeaseGrantRequest { ttl: seconds })
        .await?;
    Ok(Lease {
        id: granted.id,
        seconds,
    })
}

/// Renews a lease. False when etcd does not know it.
pub(crate) async fn keep_alive(client: &EtcdClient, lease: Lease) -> Result<bool> {
    let renewed: Result<LeaseKeepAliveResponse> =
        client.call(LEASE_KEEP_ALIVE, LeaseRequest { id: lease.id }).await;
    match renewed {
        Ok(renewed) => Ok(renewed.ttl > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a lease back. One that cannot be given back lapses by itself.
pub(crate) async fn revoke(client: &EtcdClient, lease: Lease) {
    let revoked: Result<LeaseRevokeResponse> = client.call(LEASE_REVOKE, LeaseRequest { id: lease.id }).await;
    match revoked {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::debug!(
                "cannot give back the lease {:x}, which lapses by itself: {error}",
                lease.id
            );
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_live_are_rounded_up_to_whole_seconds() {
        let rows = [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (90_000, 90)];
        for (millis, whole) in rows {
            assert_eq!(seconds(Duration::from_millis(millis)), whole);
        }
        assert_eq!(seconds(Duration::MAX), 9_000_000_000);
    }

    #[test]
    fn of_two_that_attach_a_lease_at_once_the_later_revision_counts() {
        let lease = |id| Lease { id, seconds: 30 };
        let leases = Leases::default();
        assert_eq!(leases.note("k", lease(1), 5), None);
        assert_eq!(leases.note("k", lease(2), 7), Some(lease(1)));
        assert_eq!(leases.note("k", lease(3), 6), Some(lease(3)), "it came late");
        assert_eq!(leases.note("k", lease(2), 8), None, "the same is kept");
        leases.lost("k", lease(1));
        assert_eq!(leases.of("k"), Some(lease(2)));
        leases.lost("k", lease(2));
        assert_eq!(leases.take("k"), None);
    }
}
