//! The core's own implementations keep the contracts that plugins must keep.

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use micro_core::registry::{MemoryRegistry, RegistryCache, RegistryCacheOptions};
use micro_testkit::registry::RegistryTraits;

fn local() -> RegistryTraits {
    RegistryTraits {
        min_ttl: Duration::from_millis(300),
        lapse_delay: Duration::from_millis(500),
        max_record: 1_000_000,
        ..RegistryTraits::default()
    }
}

mod memory_registry {
    use super::*;

    static SHARED: LazyLock<MemoryRegistry> = LazyLock::new(MemoryRegistry::new);

    micro_testkit::registry_conformance!(|| async { Ok::<_, Infallible>(SHARED.clone()) }, local());
}

mod cached_registry {
    use super::*;

    static SHARED: LazyLock<MemoryRegistry> = LazyLock::new(MemoryRegistry::new);

    micro_testkit::registry_conformance!(
        || async {
            let options = RegistryCacheOptions::default();
            Ok::<_, Infallible>(RegistryCache::new(Arc::new(SHARED.clone()), options))
        },
        local(),
    );
}
