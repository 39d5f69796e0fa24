//! The Rust side of the tests over mDNS, as a program: they need processes of their own.

use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use integration_tests::{CountRequest, GreeterClient, GreeterServer, HelloRequest, RustGreeter};
use micro::broker::HttpBroker;
use micro::client::CallOptions;
use micro::server::subscriber;
use micro::transport::HttpTransport;
use micro::transport::http::HttpConfig;
use micro::{Broker, Client, Context, Registry, Service};
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
    /// Print the events of a topic until standard input ends.
    Subscribe {
        /// The topic.
        topic: String,
        /// The queue to share the events of.
        #[arg(long)]
        queue: Option<String>,
    },
    /// Publish greetings.
    Publish {
        /// The topic.
        topic: String,
        /// `json` or `protobuf`.
        #[arg(long, default_value = "json")]
        codec: String,
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: usize,
        /// For how many subscriptions to wait before.
        #[arg(long, default_value_t = 1)]
        subscribers: usize,
    },
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
        Command::Subscribe { topic, queue } => {
            let mut subscriber = subscriber(topic, |context: Context, event: HelloRequest| async move {
                let topic = context.metadata().get("Micro-Topic").unwrap_or_default();
                println!("event {} {topic} {}", event.name, context.content_type());
                Ok(())
            });
            if let Some(queue) = queue {
                subscriber = subscriber.queue(queue);
            }
            let service = Service::builder("interop.subscriber")
                .registry(registry)
                .transport(transport)
                .address("127.0.0.1:0");
            let running = service.subscriber(subscriber).build()?.start().await?;
            println!("registered");
            tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
            running.stop().await?;
            println!("stopped");
        }
        Command::Publish {
            topic,
            codec,
            count,
            subscribers,
        } => {
            until_known(&*registry, subscribers).await?;
            let broker = Arc::new(HttpBroker::with_defaults(registry.clone()));
            let client = Client::builder(registry, transport)
                .broker(broker.clone())
                .build();
            let client = client.with_options(CallOptions {
                content_type: Some(format!("application/{codec}").into()),
                ..CallOptions::default()
            });
            for number in 0..count {
                let event = HelloRequest {
                    name: format!("rust-{number}"),
                    times: 0,
                };
                client.publish(topic.clone(), &event).await?;
            }
            broker.flush().await?;
            println!("published {count}");
        }
        Command::List => {
            for service in registry.list_services().await? {
                println!("{}", service.name);
            }
        }
    }
    Ok(())
}

/// Waits until so many subscriptions can be found.
async fn until_known(registry: &dyn Registry, subscriptions: usize) -> anyhow::Result<()> {
    loop {
        let found = registry
            .get_service("micro.http.broker")
            .await
            .unwrap_or_default();
        if found.iter().map(|record| record.nodes.len()).sum::<usize>() >= subscriptions {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
