//! The core's own implementations keep the contracts that plugins must keep.
#![allow(clippy::unwrap_used, reason = "a test that fails says so by panicking")]

use std::convert::Infallible;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use micro_core::broker::{HttpBroker, MemoryBroker};
use micro_core::codec::{BytesCodec, JsonCodec, JsonRpcCodec, ProtoRpcCodec, ProtobufCodec};
use micro_core::registry::{
    MemoryRegistry, MultiRegistry, RegisterOptions, RegistryCache, RegistryCacheOptions, ServiceRecord,
    Watcher, service_not_found,
};
use micro_core::selector::{CachedSelector, SelectorOptions, Strategy};
use micro_core::transport::http::{ClientCertificates, HttpConfig, Identity, Tls};
use micro_core::transport::{HttpTransport, MemoryTransport};
use micro_core::{Error, Registry, Result};
use micro_testkit::broker::BrokerTraits;
use micro_testkit::codec::CodecTraits;
use micro_testkit::registry::RegistryTraits;
use micro_testkit::selector::SelectorTraits;
use micro_testkit::transport::TransportTraits;

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

mod two_registries {
    use super::*;

    static SHARED: LazyLock<[MemoryRegistry; 2]> = LazyLock::new(Default::default);

    micro_testkit::registry_conformance!(
        || async { MultiRegistry::new(SHARED.iter().map(|registry| Arc::new(registry.clone()) as _)) },
        local(),
    );
}

mod two_registries_of_which_one_takes_nothing {
    use super::*;

    static SHARED: LazyLock<MemoryRegistry> = LazyLock::new(MemoryRegistry::new);

    micro_testkit::registry_conformance!(
        || async { MultiRegistry::new([Arc::new(Full) as _, Arc::new(SHARED.clone()) as _]) },
        local(),
    );

    /// It has no place for any record.
    struct Full;

    #[async_trait]
    impl Registry for Full {
        fn name(&self) -> &str {
            "full"
        }

        async fn register(&self, _: &ServiceRecord, _: RegisterOptions) -> Result<()> {
            Err(Error::unavailable("full", "no space left"))
        }

        async fn deregister(&self, _: &ServiceRecord) -> Result<()> {
            Ok(())
        }

        async fn get_service(&self, name: &str) -> Result<Vec<ServiceRecord>> {
            Err(service_not_found(name))
        }

        async fn list_services(&self) -> Result<Vec<ServiceRecord>> {
            Ok(Vec::new())
        }

        async fn watch(&self, _: Option<&str>) -> Result<Watcher> {
            Ok(Watcher::new(futures_util::stream::pending()))
        }
    }
}

mod memory_transport {
    use super::*;

    micro_testkit::transport_conformance!(
        || async { Ok::<_, Infallible>(MemoryTransport::new()) },
        TransportTraits {
            // Any text is an address inside a process.
            malformed: Vec::new(),
            ..TransportTraits::default()
        },
    );
}

mod http_transport {
    use super::*;

    micro_testkit::transport_conformance!(|| async { HttpTransport::new(HttpConfig::default()) });
}

mod https_transport {
    use super::*;

    micro_testkit::transport_conformance!(|| async { encrypted(false) });
}

mod mutual_tls_transport {
    use super::*;

    micro_testkit::transport_conformance!(|| async { encrypted(true) });
}

/// An HTTP transport whose two ends believe the same authority; with `mutual`, callers must show a certificate too.
fn encrypted(mutual: bool) -> micro_core::Result<HttpTransport> {
    static CERTIFICATES: LazyLock<(String, Identity)> = LazyLock::new(|| {
        let authority_key = rcgen::KeyPair::generate().unwrap();
        let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let leaf = rcgen::CertificateParams::new(names).unwrap();
        let identity = Identity {
            certificates: leaf.signed_by(&key, &issuer).unwrap().pem().into(),
            key: key.serialize_pem().into(),
        };
        (certificate, identity)
    });
    let (authority, identity) = &*CERTIFICATES;
    HttpTransport::new(HttpConfig {
        tls: Some(Tls {
            identity: Some(identity.clone()),
            authorities: authority.clone().into(),
            client_certificates: match mutual {
                true => ClientCertificates::Required(authority.clone().into()),
                false => ClientCertificates::None,
            },
            ..Tls::default()
        }),
        ..HttpConfig::default()
    })
}

/// A selector over a cache of the registry, with this strategy.
async fn selector(
    registry: Arc<dyn Registry>,
    strategy: &str,
) -> std::result::Result<CachedSelector, Infallible> {
    let cache = RegistryCache::new(registry, RegistryCacheOptions::default());
    let strategy = <dyn Strategy>::named(strategy).expect("a strategy of core");
    Ok(CachedSelector::new(
        Arc::new(cache),
        strategy,
        SelectorOptions::default(),
    ))
}

mod random_selector {
    use super::*;

    micro_testkit::selector_conformance!(|registry| selector(registry, "random"));
}

mod round_robin_selector {
    use super::*;

    micro_testkit::selector_conformance!(|registry| selector(registry, "roundrobin"));
}

mod p2c_selector {
    use super::*;

    micro_testkit::selector_conformance!(|registry| selector(registry, "p2c"));
}

mod hash_selector {
    use super::*;

    micro_testkit::selector_conformance!(
        |registry| selector(registry, "hash"),
        SelectorTraits {
            hashes: true,
            ..SelectorTraits::default()
        },
    );
}

mod protobuf_codec {
    use super::*;

    micro_testkit::codec_conformance!(
        || ProtobufCodec,
        CodecTraits {
            protobuf: true,
            ..CodecTraits::default()
        },
    );
}

mod json_codec {
    use super::*;

    micro_testkit::codec_conformance!(
        || JsonCodec,
        CodecTraits {
            serde: true,
            ..CodecTraits::default()
        },
    );
}

mod proto_rpc_codec {
    use super::*;

    micro_testkit::codec_conformance!(
        || ProtoRpcCodec,
        CodecTraits {
            protobuf: true,
            envelope: true,
            ..CodecTraits::default()
        },
    );
}

mod json_rpc_codec {
    use super::*;

    micro_testkit::codec_conformance!(
        || JsonRpcCodec,
        CodecTraits {
            serde: true,
            envelope: true,
            ..CodecTraits::default()
        },
    );
}

mod bytes_codec {
    use super::*;

    micro_testkit::codec_conformance!(
        || BytesCodec,
        CodecTraits {
            raw: true,
            ..CodecTraits::default()
        },
    );
}

mod memory_broker {
    use super::*;

    static SHARED: LazyLock<MemoryBroker> = LazyLock::new(MemoryBroker::new);

    micro_testkit::broker_conformance!(
        || async { Ok::<_, Infallible>(SHARED.clone()) },
        BrokerTraits {
            // Whoever is awake takes what is there.
            spreads: false,
            ..BrokerTraits::default()
        },
    );
}

mod http_broker {
    use super::*;

    static SHARED: LazyLock<MemoryRegistry> = LazyLock::new(MemoryRegistry::new);

    micro_testkit::broker_conformance!(|| async {
        Ok::<_, Infallible>(HttpBroker::with_defaults(Arc::new(SHARED.clone())))
    });
}
