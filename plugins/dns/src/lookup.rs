//! Asking the DNS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use micro_core::registry::Node;
use micro_core::{Error, ErrorKind, Result};
use tokio::time::timeout;

use crate::config::DnsConfig;
use crate::error;
use crate::name::{Pattern, as_address};
use crate::targets::{Target, by_priority, sent_along, shortest_ttl};

/// How many hosts are asked for at once. More than this, and a small name server drops questions.
const AT_ONCE: usize = 16;
/// The most nodes of one service. An answer has at most some 1,600 targets, but each may have thousands of addresses.
const MAX_NODES: usize = 5_000;
/// How many aliases are followed from one name to the next.
const MAX_ALIASES: usize = 4;

/// Asks for services.
#[derive(Debug)]
pub(crate) struct Resolver {
    resolver: TokioResolver,
    /// The name servers, for errors.
    servers: String,
    pattern: Pattern,
    config: DnsConfig,
}

/// What the DNS says of a service.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// Sorted by id. None: there is no such service.
    pub(crate) nodes: Vec<Node>,
    /// How long it holds.
    pub(crate) ttl: Duration,
    /// The ids of targets whose addresses nobody could tell, while those of others were told.
    pub(crate) unanswered: Vec<String>,
}

/// What the DNS says to one question: something, or that there is nothing, and for how many seconds.
enum Said<T> {
    Found(T, u32),
    Nothing(u32),
}

impl Resolver {
    /// Asks once whether a name server is there. What it answers does not matter.
    pub(crate) async fn connect(config: DnsConfig) -> Result<Self> {
        config.check()?;
        let pattern = Pattern::new(&config)?;
        let (resolver, servers) = make(&config)?;
        let this = Self {
            resolver,
            servers,
            pattern,
            config,
        };
        let asked = this.resolver.lookup(this.pattern.zone(), RecordType::SOA);
        match timeout(this.config.request_timeout, asked).await {
            Err(_) => Err(this.late()),
            Ok(Err(NetError::Dns(_)) | Ok(_)) => Ok(this),
            Ok(Err(problem)) => Err(error::failed(&this.servers, &problem)),
        }
    }

    pub(crate) fn config(&self) -> &DnsConfig {
        &self.config
    }

    /// What there is of a service now.
    pub(crate) async fn look_up(&self, service: &str) -> Result<Answer> {
        let answer = async {
            match as_address(service) {
                Some((host, port)) => self.host(host, port).await,
                None => self.service(&self.pattern.name_of(service)?).await,
            }
        };
        let answer = timeout(self.config.request_timeout, answer)
            .await
            .unwrap_or_else(|_| Err(self.late()));
        answer.map_err(|problem| match problem.kind() {
            ErrorKind::NotFound => problem,
            _ => problem.context(format_args!("service {service}")),
        })
    }

    async fn host(&self, host: &str, port: u16) -> Result<Answer> {
        let said = match host.parse::<IpAddr>() {
            Ok(ip) => Said::Found(vec![ip], u32::MAX),
            // Not made absolute, so that the system's search domains count, as for Go Micro.
            Err(_) => {
                let name = Name::from_utf8(host).map_err(|why| error::bad_host(host, why))?;
                self.addresses(name).await?
            }
        };
        let (addresses, ttl) = match said {
            Said::Found(addresses, ttl) => (addresses, ttl),
            Said::Nothing(ttl) => (Vec::new(), ttl),
        };
        let mut answer = Answer::default();
        let id = format!("{host}:{port}");
        self.add(&mut answer.nodes, &id, port, addresses);
        answer.ttl = Duration::from_secs(ttl.into());
        Ok(answer)
    }

    async fn service(&self, name: &Name) -> Result<Answer> {
        let (lookup, ttl) = match self.records(name).await? {
            Said::Found(lookup, ttl) => (lookup, ttl),
            Said::Nothing(ttl) => {
                return Ok(Answer {
                    ttl: Duration::from_secs(ttl.into()),
                    ..Answer::default()
                });
            }
        };
        let known = sent_along(&lookup, self.config.prefer_ipv6);
        let mut ttl = ttl;
        for (_, targets) in by_priority(&lookup) {
            let mut answer = self.resolve(targets, &known, &mut ttl).await?;
            // Others are there in case of need only, which is when no host of this priority exists.
            if !answer.nodes.is_empty() {
                answer.ttl = Duration::from_secs(ttl.into());
                return Ok(answer);
            }
        }
        Ok(Answer {
            ttl: Duration::from_secs(ttl.into()),
            ..Answer::default()
        })
    }

    /// The nodes of the targets. Fails when a host cannot be asked for and none of the others has an address.
    async fn resolve(
        &self,
        targets: BTreeSet<Target>,
        known: &BTreeMap<Name, (Vec<IpAddr>, u32)>,
        ttl: &mut u32,
    ) -> Result<Answer> {
        let mut said = stream::iter(targets)
            .map(|target| async {
                let said = match known.get(&target.host) {
                    Some((addresses, ttl)) => Ok(Said::Found(addresses.clone(), *ttl)),
                    None => self.addresses(target.host.clone()).await,
                };
                (target, said)
            })
            .buffered(AT_ONCE);
        let mut answer = Answer::default();
        let mut failure = None;
        while let Some((target, said)) = said.next().await {
            match said {
                Ok(Said::Found(addresses, lasts)) => {
                    *ttl = lasts.min(*ttl);
                    self.add(&mut answer.nodes, &target.id(), target.port, addresses);
                }
                Ok(Said::Nothing(lasts)) => *ttl = lasts.min(*ttl),
                Err(problem) => {
                    tracing::debug!(target = %target.id(), error = %problem, "dns: no address of a target");
                    answer.unanswered.push(target.id());
                    failure = Some(problem);
                }
            }
        }
        answer.nodes.sort_by(|one, two| one.id.cmp(&two.id));
        match failure {
            Some(problem) if answer.nodes.is_empty() => Err(problem),
            _ => Ok(answer),
        }
    }

    /// Adds the nodes of one target. Its id is theirs; where there are several, their addresses tell them apart.
    fn add(&self, nodes: &mut Vec<Node>, id: &str, port: u16, addresses: Vec<IpAddr>) {
        let addresses: BTreeSet<IpAddr> = addresses.into_iter().collect();
        let is_alone = addresses.len() == 1;
        for ip in addresses {
            if nodes.len() >= MAX_NODES {
                tracing::warn!(
                    target = id,
                    "dns: a service has more than {MAX_NODES} nodes; the others are left out"
                );
                return;
            }
            let id = if is_alone {
                id.to_owned()
            } else {
                format!("{id}/{ip}")
            };
            let mut node = Node::new(id, SocketAddr::new(ip, port).to_string());
            node.metadata.clone_from(&self.config.metadata);
            nodes.push(node);
        }
    }

    /// The SRV records of a name, or of the name that it is an alias of.
    async fn records(&self, name: &Name) -> Result<Said<Lookup>> {
        let mut name = name.clone();
        for _ in 0..MAX_ALIASES {
            let asked = self.resolver.lookup(name.clone(), RecordType::SRV).await;
            // The resolver takes the host of a SRV record behind an alias for one more alias, and finds nothing there.
            let alias = match &asked {
                Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) if *nothing.query.name() != name => {
                    self.alias(&name).await?
                }
                _ => None,
            };
            match alias {
                Some(alias) => name = alias,
                None => {
                    return self.said(asked, |lookup| {
                        let ttl = shortest_ttl(&lookup);
                        (lookup, ttl)
                    });
                }
            }
        }
        Ok(Said::Nothing(0))
    }

    async fn alias(&self, name: &Name) -> Result<Option<Name>> {
        let asked = self.resolver.lookup(name.clone(), RecordType::CNAME).await;
        match self.said(asked, |lookup| (lookup, 0))? {
            Said::Found(lookup, _) => Ok(lookup.answers().iter().find_map(|record| match &record.data {
                RData::CNAME(alias) if record.name == *name => Some(alias.0.clone()),
                _ => None,
            })),
            Said::Nothing(_) => Ok(None),
        }
    }

    async fn addresses(&self, host: Name) -> Result<Said<Vec<IpAddr>>> {
        let asked = self.resolver.lookup_ip(host).await;
        self.said(asked, |found| {
            (found.iter().collect(), shortest_ttl(found.as_lookup()))
        })
    }

    fn said<F, T>(
        &self,
        asked: std::result::Result<F, NetError>,
        read: impl FnOnce(F) -> (T, u32),
    ) -> Result<Said<T>> {
        match asked {
            Ok(found) => {
                let (found, ttl) = read(found);
                Ok(Said::Found(found, ttl))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => {
                Ok(Said::Nothing(nothing.negative_ttl.unwrap_or(0)))
            }
            Err(problem) => Err(error::failed(&self.servers, &problem)),
        }
    }

    fn late(&self) -> Error {
        error::late(&self.servers, self.config.request_timeout)
    }
}

/// The resolver, and its name servers in words.
fn make(config: &DnsConfig) -> Result<(TokioResolver, String)> {
    let provider = TokioRuntimeProvider::default();
    let servers = config.servers()?;
    let mut builder = if servers.is_empty() {
        TokioResolver::builder(provider).map_err(error::no_system_config)?
    } else {
        let servers: Vec<NameServerConfig> = servers.into_iter().map(name_server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        TokioResolver::builder_with_config(config, provider)
    };
    let options = builder.options_mut();
    // Two attempts have their time within that of the whole.
    options.timeout = config.request_timeout / 2;
    options.attempts = 1;
    // Core keeps what was found. What is kept here as well would hide a change for as long again.
    options.cache_size = 0;
    options.ip_strategy = match config.prefer_ipv6 {
        true => LookupIpStrategy::Ipv6thenIpv4,
        false => LookupIpStrategy::Ipv4thenIpv6,
    };
    let told = match config.name_servers.is_empty() {
        true => "the system's name servers".to_owned(),
        false => format!("the name server {}", config.name_servers.join(", ")),
    };
    let resolver = builder
        .build()
        .map_err(|why| error::misconfigured(format!("no resolver can be made: {why}")))?;
    Ok((resolver, told))
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}
