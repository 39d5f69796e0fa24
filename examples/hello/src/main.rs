//! A service that finds and calls itself: discovery, transport and codec in one process.
//!
//! `--bin server` and `--bin client -- Alice` do the same as two.

use hello::{Greeter, HelloClient, HelloServer, PingRequest};
use micro::prelude::*;

#[tokio::main]
async fn main() -> micro::Result<()> {
    // Alone, the example keeps to this machine; flags and MICRO_* variables go before these defaults.
    let settings = Arguments::new("hellooo")
        .about("A service that finds and calls itself")
        .default_value("registry_address", "lo")
        .default_value("server_address", "127.0.0.1:0")
        .parse();
    let service = settings
        .service()
        .await?
        .handler(HelloServer::new(Greeter))
        .build()?;
    let running = service.start().await?;

    let hello = HelloClient::new("hellooo", running.client());
    let response = hello
        .ping(PingRequest {
            name: "World".to_owned(),
        })
        .await?;
    println!("{}", response.message);

    running.stop().await
}
