//! A name server with a zone that tests change.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::rr::rdata::{SOA, SRV};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType, RrKey};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use micro_core::Registry;
use micro_core::registry::ServiceRecord;
use micro_dns::{DnsConfig, DnsRegistry};
use tokio::net::{TcpListener, UdpSocket};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const ORIGIN: &str = "micro.example.";
/// The time to live of records and of their absence.
const TTL: u32 = 1;

pub(crate) struct Zone {
    records: Arc<InMemoryZoneHandler>,
    asked: Arc<AtomicUsize>,
    pub(crate) address: SocketAddr,
    server: Option<Server<Counted>>,
}

struct Counted(Catalog, Arc<AtomicUsize>);

#[async_trait::async_trait]
impl RequestHandler for Counted {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        handle: R,
    ) -> ResponseInfo {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.handle_request::<R, T>(request, handle).await
    }
}

impl Zone {
    pub(crate) async fn start() -> Self {
        let records = InMemoryZoneHandler::empty(name("@"), ZoneType::Primary, AxfrPolicy::Deny);
        let soa = SOA::new(name("ns"), name("admin"), 1, 60, 60, 60, TTL);
        records
            .upsert(Record::from_rdata(name("@"), TTL, RData::SOA(soa)), 0)
            .await;
        let mut zone = Self {
            records: Arc::new(records),
            asked: Arc::default(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            server: None,
        };
        zone.run().await;
        zone
    }

    /// Serves by UDP and TCP, at the port where it was before.
    pub(crate) async fn run(&mut self) {
        let (tcp, udp) = loop {
            let tcp = TcpListener::bind(self.address).await.unwrap();
            // The same port may be taken for UDP.
            match UdpSocket::bind(tcp.local_addr().unwrap()).await {
                Ok(udp) => break (tcp, udp),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        self.address = udp.local_addr().unwrap();
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::from(name("@")), vec![self.records.clone()]);
        let mut server = Server::new(Counted(catalog, self.asked.clone()));
        server.register_socket(udp);
        server.register_listener(tcp, Duration::from_secs(5), 16);
        self.server = Some(server);
    }

    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().shutdown_gracefully().await.unwrap();
    }

    /// How many questions there were.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) async fn srv(&self, service: &str, priority: u16, port: u16, host: &str) {
        let data = RData::SRV(SRV::new(priority, 1, port, name(host)));
        self.put(&format!("_{service}._tcp"), data).await;
    }

    pub(crate) async fn host(&self, host: &str, ip: &str) {
        self.put(host, ip.parse::<IpAddr>().unwrap().into()).await;
    }

    pub(crate) async fn put(&self, at: &str, data: RData) {
        self.records
            .upsert(Record::from_rdata(name(at), TTL, data), 0)
            .await;
    }

    pub(crate) async fn remove(&self, at: &str, kind: RecordType) {
        self.records
            .records_mut()
            .await
            .remove(&RrKey::new(name(at).into(), kind))
            .unwrap();
    }

    pub(crate) async fn remove_service(&self, service: &str) {
        self.remove(&format!("_{service}._tcp"), RecordType::SRV).await;
    }

    pub(crate) fn config(&self) -> DnsConfig {
        config(self.address)
    }

    pub(crate) async fn registry(&self) -> DnsRegistry {
        DnsRegistry::connect(self.config()).await.unwrap()
    }
}

pub(crate) fn config(server: SocketAddr) -> DnsConfig {
    DnsConfig {
        domain: ORIGIN.to_owned(),
        request_timeout: Duration::from_secs(2),
        ..DnsConfig::from_addresses(&[server.to_string()]).unwrap()
    }
}

/// A name within the zone; with a dot at the end, as it is.
pub(crate) fn name(text: &str) -> Name {
    let text = match text {
        "@" => ORIGIN.to_owned(),
        whole if whole.ends_with('.') => whole.to_owned(),
        part => format!("{part}.{ORIGIN}"),
    };
    Name::from_ascii(text).unwrap()
}

/// Id and address of each node.
pub(crate) fn nodes(records: &[ServiceRecord]) -> Vec<(&str, &str)> {
    let nodes = records.iter().flat_map(|record| &record.nodes);
    nodes
        .map(|node| (node.id.as_str(), node.address.as_str()))
        .collect()
}

pub(crate) async fn found(registry: &DnsRegistry, service: &str) -> Vec<ServiceRecord> {
    registry.get_service(service).await.unwrap()
}
