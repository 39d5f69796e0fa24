//! A service for the journeys over registries, as a program: the framework's flags say which registry, and who it is.
//!
//! It serves until its standard input ends, and then stops as a service should.

use micro::handler::endpoint_fn;
use micro::prelude::*;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = Arguments::new("journey")
        .default_value("server_address", "127.0.0.1:0")
        .parse();
    settings.start_log();
    let [version, id] = ["server_version", "server_id"].map(|flag| settings.value(flag));
    let who = format!("{} {}", version.unwrap_or("latest"), id.unwrap_or_default());
    let running = settings
        .service()
        .await?
        .handler(endpoint_fn("Peer.Who", move |_: Context, (): ()| {
            let who = who.clone();
            async move { Ok(who) }
        }))
        .build()?
        .start()
        .await?;
    println!("serves at {}", running.address());
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await?;
    running.stop().await?;
    println!("stopped");
    Ok(())
}
