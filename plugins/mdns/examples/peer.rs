//! A peer to try the registry from a shell, on the loopback interface unless another one is named:
//!
//! ```text
//! cargo run -p micro-mdns --example peer -- register greeter greeter-1 127.0.0.1:9101
//! cargo run -p micro-mdns --example peer -- watch
//! cargo run -p micro-mdns --example peer -- get greeter
//! cargo run -p micro-mdns --example peer -- list
//! ```
//!
//! `MICRO_REGISTRY_ADDRESS` names interfaces, separated by commas. `register` runs until its input ends.

use std::io::Read;
use std::time::{Duration, Instant};

use micro_core::Result;
use micro_core::registry::{Node, RegisterOptions, Registry, ServiceRecord};
use micro_mdns::{MdnsConfig, MdnsRegistry};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let address = std::env::var("MICRO_REGISTRY_ADDRESS").unwrap_or_else(|_| "lo".to_owned());
    let addresses: Vec<String> = address.split(',').map(str::to_owned).collect();
    let registry = MdnsRegistry::connect(MdnsConfig::from_addresses(&addresses)?).await?;
    match arguments[..] {
        ["register", service, node, address] => register(&registry, service, node, address).await?,
        ["get", service] => {
            let began = Instant::now();
            let found = registry.get_service(service).await?;
            println!("{found:#?}\nin {:?}", began.elapsed());
        }
        ["list"] => println!("{:#?}", registry.list_services().await?),
        ["watch"] => watch(&registry, None).await?,
        ["watch", service] => watch(&registry, Some(service)).await?,
        _ => eprintln!("register <service> <node> <ip:port> | get <service> | list | watch [<service>]"),
    }
    registry.close().await;
    Ok(())
}

async fn register(registry: &MdnsRegistry, service: &str, node: &str, address: &str) -> Result<()> {
    let nodes = vec![Node::new(node, address).with_metadata("protocol", "mucp")];
    let record = ServiceRecord::new(service, "latest").with_nodes(nodes);
    let options = RegisterOptions {
        ttl: Some(Duration::from_secs(90)),
    };
    let mut input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    loop {
        registry.register(&record, options).await?;
        println!("registered");
        tokio::select! {
            _ = &mut input => return registry.deregister(&record).await,
            () = tokio::time::sleep(Duration::from_secs(30)) => {}
        }
    }
}

async fn watch(registry: &MdnsRegistry, service: Option<&str>) -> Result<()> {
    let mut watcher = registry.watch(service).await?;
    println!("watching");
    loop {
        let change = watcher.next().await?;
        println!("{} {:?}", change.action, change.service);
    }
}
