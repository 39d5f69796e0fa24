//! A caller: `cargo run -p hello --bin client -- Alice`.

use hello::{HelloClient, PingRequest};
use micro::prelude::*;

#[tokio::main]
async fn main() -> micro::Result<()> {
    let settings = Arguments::new("hellooo-client")
        .about("Greets somebody through a service")
        .argument(Argument::positional("name", "Whom to greet").default("World"))
        .argument(Argument::flag("service", "The service to call").default("hellooo"))
        .parse();
    let client = settings.client().await?.build();

    let hello = HelloClient::new(settings.value("service").unwrap_or("hellooo"), &client);
    let name = settings.value("name").unwrap_or("World").to_owned();
    let response = hello.ping(PingRequest { name }).await?;
    println!("{}", response.message);
    Ok(())
}
