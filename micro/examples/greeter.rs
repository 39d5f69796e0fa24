//! Greets. With a name, `greeter Alice`, it calls itself once and ends; without, it serves until it is stopped.

use micro::prelude::*;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Arguments::new("greeter")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Greets by name")
        .argument(Argument::positional("name", "Whom to greet at once"))
        .argument(Argument::flag("greeting", "How to greet").default("Hello"))
        .parse();
    let greeting = settings.value("greeting").unwrap_or_default().to_owned();
    let hello = endpoint_fn("Greeter.Hello", move |_: Context, name: String| {
        let greeting = format!("{greeting} {name}");
        async move { Ok(greeting) }
    });
    let service = settings.service().await?.handler(hello).build()?;
    let Some(name) = settings.value("name") else {
        return service.run().await;
    };
    let running = service.start().await?;
    let called = running.record().name.clone();
    let answer: String = running
        .client()
        .call_plain(called, "Greeter.Hello", name.to_owned())
        .await?;
    println!("{answer}");
    running.stop().await
}
