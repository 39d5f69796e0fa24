//! A service of the doctor's own: registered, found, called, and taken out again.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use micro::client::CallOptions;
use micro::handler::endpoint_fn;
use micro::registry::Node;
use micro::service::RunningService;
use micro::{Context, Result, Settings};

use super::{Finding, Report};
use crate::failure::{Failure, Outcome};
use crate::network::Network;
use crate::quantity::moment;

/// Within this, everybody should have heard of a new node.
const PATIENCE: Duration = Duration::from_secs(5);
/// Services that are found later start slowly, but well.
const SLOW: Duration = Duration::from_secs(2);

pub(super) async fn examine(network: &Network, report: &mut Report<'_>) -> Outcome {
    let mut settings = network.settings().clone();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    settings.service.name = format!("micro-doctor-{}-{}", std::process::id(), now.subsec_nanos());
    // The node's id begins with the name; the registries' limits are tight.
    settings.service.id = "probe".to_owned();
    settings.service.notice = Duration::ZERO;
    let name = settings.service.name.clone();
    let began = Instant::now();
    let probe = match network.limited(start(&settings)).await? {
        Ok(probe) => probe,
        Err(error) => {
            let text = format!("a probe could not be started: {error}");
            let advice = "check --server_address, and whether the registry accepts new records";
            return report.tell(Finding::fail("register", text, advice));
        }
    };
    let registered = format!("a probe was registered in {}", moment(began.elapsed()));
    report.tell(Finding::ok("register", registered))?;
    for node in probe.record().nodes.clone() {
        report.tell(advertised(&node, &settings))?;
    }
    let found = find(network, &name).await;
    let result = tell_found(network, report, found, &name).await;
    // Whatever was found, the probe goes; it lapses where even that fails.
    let _ = probe.stop().await;
    result
}

async fn start(settings: &Settings) -> Result<RunningService> {
    let ping = endpoint_fn("Probe.Ping", |_: Context, text: String| async move { Ok(text) });
    settings.service().await?.handler(ping).build()?.start().await
}

/// Asks until the probe is known or it takes too long. The network's registry is not the one that registered it.
async fn find(network: &Network, name: &str) -> Outcome<(Node, Duration)> {
    let registry = network.registry().await?;
    let began = Instant::now();
    loop {
        let asked = tokio::time::timeout(PATIENCE, registry.get_service(name)).await;
        let found = asked.ok().and_then(Result::ok).unwrap_or_default();
        if let Some(node) = found.into_iter().flat_map(|record| record.nodes).next() {
            return Ok((node, began.elapsed()));
        }
        if began.elapsed() > PATIENCE {
            return Err(Failure::not_found("the probe was not found"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn tell_found(
    network: &Network,
    report: &mut Report<'_>,
    found: Outcome<(Node, Duration)>,
    name: &str,
) -> Outcome {
    let registry = &network.settings().registry.name;
    let Ok((node, took)) = found else {
        let text = format!("{registry}: a second connection did not find the probe within {PATIENCE:?}");
        return report.tell(Finding::fail("find", text, not_found_advice(registry)));
    };
    let text = format!("a second connection found it in {}", moment(took));
    report.tell(if took > SLOW {
        Finding::warn("find", text, not_found_advice(registry))
    } else {
        Finding::ok("find", text)
    })?;
    report.tell(call(network, name, &node).await)
}

fn not_found_advice(registry: &str) -> &'static str {
    match registry {
        "mdns" => {
            "let multicast pass: UDP port 5353 to 224.0.0.251 in the firewall, the host's network for containers; \
             or name the interface, such as --registry_address=eth0"
        }
        _ => "is the registry slow, or does it answer from stale copies?",
    }
}

/// What others will be told, and whether they can use it.
fn advertised(node: &Node, settings: &Settings) -> Finding {
    const WHAT: &str = "address";
    let address = &node.address;
    let text = format!("services started here are called at {address}");
    let host = address
        .rsplit_once(':')
        .map_or(address.as_str(), |(host, _)| host);
    let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let stays_here = |place: &String| {
        let place = place.trim();
        place.starts_with("lo") || place.starts_with("127.") || place.starts_with("[::1]") || place == "::1"
    };
    let asked_for = &settings.registry.addresses;
    if ip.is_none_or(|ip| !ip.is_loopback()) {
        return Finding::ok(WHAT, text);
    }
    if settings.registry.name == "mdns" && !asked_for.is_empty() && asked_for.iter().all(stays_here) {
        return Finding::ok(WHAT, format!("{text}, within this machine as the registry is"));
    }
    Finding::warn(
        WHAT,
        format!("{text}, where only this machine reaches them"),
        "connect to a network, or state what others reach: --server_address=HOST:PORT or --server_advertise=HOST",
    )
}

async fn call(network: &Network, name: &str, node: &Node) -> Finding {
    const WHAT: &str = "call";
    let client = match network.client().await {
        Ok(client) => client.with_options(CallOptions {
            timeout: Some(PATIENCE),
            addresses: vec![node.address.clone()],
            ..CallOptions::default()
        }),
        Err(failure) => return Finding::fail(WHAT, failure.summary(), "check the flags of the transport"),
    };
    let began = Instant::now();
    let answer: Result<String> = client.call_plain(name, "Probe.Ping", "ping".to_owned()).await;
    match answer {
        Ok(_) => Finding::ok(WHAT, format!("it answered there in {}", moment(began.elapsed()))),
        Err(error) => Finding::fail(
            WHAT,
            error.to_string(),
            "let its port through the firewall; a fixed one: --server_address=:8080",
        ),
    }
}

#[cfg(test)]
mod tests {
    use micro::Arguments;

    use super::super::Mark;
    use super::*;

    #[test]
    fn an_address_of_this_machine_alone_is_a_warning_unless_asked_for() {
        let mark = |address: &str, words: &[&str]| {
            let settings = Arguments::new("micro").parse_from(words, [("", ""); 0]).unwrap();
            advertised(&Node::new("x", address), &settings).mark
        };
        assert_eq!(mark("10.0.0.7:80", &[]), Mark::Ok);
        assert_eq!(mark("example.org:80", &[]), Mark::Ok);
        assert_eq!(mark("127.0.0.1:80", &[]), Mark::Warn);
        assert_eq!(mark("[::1]:80", &["--registry_address=eth0"]), Mark::Warn);
        assert_eq!(mark("127.0.0.1:80", &["--registry_address=lo"]), Mark::Ok);
    }
}
