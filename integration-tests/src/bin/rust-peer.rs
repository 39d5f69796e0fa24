//! The Rust side of the tests over mDNS, as a program: they need processes of their own.

use std::sync::Arc;

use clap::{Parser, Subcommand};
use integration_tests::{CountRequest, GreeterClient, GreeterServer, HelloRequest, RustGreeter};
use micro::transport::HttpTransport;
use micro::transport::http::HttpConfig;
use micro::{Client, Registry, Service};
use micro_mdns::{MdnsConfig, MdnsRegistry};

/// A greeter over mDNS, or its caller.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until standard input ends.
    Server {
        /// The name to register.
        name: String,
    },
    /// Call `Greeter.Hello`, then stream `Greeter.Count`.
    Call {
        /// The name to look up.
        name: String,
    },
    /// Print the names of all services.
    List,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let registry: Arc<dyn Registry> =
        Arc::new(MdnsRegistry::connect(MdnsConfig::from_addresses(&["lo".to_owned()])?).await?);
    let transport = Arc::new(HttpTransport::new(HttpConfig::default())?);
    match Arguments::parse().command {
        Command::Server { name } => {
            let service = Service::builder(name)
                .registry(registry)
                .transport(transport)
                .address("127.0.0.1:0");
            let running = service
                .handler(GreeterServer::new(RustGreeter))
                .build()?
                .start()
                .await?;
            println!("listening {}", running.address());
            println!("registered");
            tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
            running.stop().await?;
            println!("stopped");
        }
        Command::Call { name } => {
            let client = Client::new(registry, transport);
            let greeter = GreeterClient::new(name, &client);
            let reply = greeter
                .hello(HelloRequest {
                    name: "mdns".into(),
                    times: 1,
                })
                .await?;
            println!("{} from {}", reply.greeting, reply.served_by);
            let mut numbers = greeter.count(CountRequest { count: 3 }).await?;
            while let Some(number) = numbers.message().await? {
                println!("count {}", number.seq);
            }
            println!("end");
        }
        Command::List => {
            for service in registry.list_services().await? {
                println!("{}", service.name);
            }
        }
    }
    Ok(())
}
