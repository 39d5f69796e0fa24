//! What a choice costs: nanoseconds per selection, by strategy and number of nodes.
//!
//! `cargo bench -p micro-core --bench selection`

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_core::Result;
use micro_core::registry::{
    MemoryRegistry, Node, RegisterOptions, Registry, RegistryCache, RegistryCacheOptions, ServiceRecord,
};
use micro_core::selector::{
    CachedSelector, Candidates, Criteria, Filter, Outcome, Selector, SelectorOptions, Strategy,
};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const ROUNDS: u32 = 1_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    print!("{:<34}", "ns per selection, nodes:");
    SIZES.iter().for_each(|size| print!("{size:>8}"));
    println!();
    let plain = Criteria::default();
    let keyed = Criteria {
        key: Some("customer-17".into()),
        ..Criteria::default()
    };
    let filtered = Criteria {
        filters: Filter::label("zone", "north").into(),
        ..Criteria::default()
    };
    for (title, strategy, criteria) in [
        ("random", "random", &plain),
        ("roundrobin", "roundrobin", &plain),
        ("p2c", "p2c", &plain),
        ("hash", "hash", &keyed),
        ("random, one filter", "random", &filtered),
        ("p2c, one filter", "p2c", &filtered),
    ] {
        row(title, strategy, criteria, Way::Now).await?;
    }
    row("random, by the boxed future", "random", &plain, Way::Boxed).await?;
    row("random, 10 of the nodes out", "random", &plain, Way::TenOut).await?;
    row("p2c, with start and mark", "p2c", &plain, Way::Whole).await?;
    println!();
    changes("random").await?;
    changes("hash").await
}

/// What a change of one node costs, from the registry to the first choice after it.
async fn changes(strategy: &str) -> Result<()> {
    print!("{:<34}", format!("us per change, {strategy}"));
    for size in SIZES {
        let registry = MemoryRegistry::new();
        let selector = selector(registry.clone(), strategy, size).await?;
        let criteria = Criteria::default();
        let mut count = selector.select("greeter", &criteria).await?.len();
        const CHANGES: u32 = 20;
        let began = Instant::now();
        for number in 0..CHANGES {
            let node = Node::new(format!("other-{number}"), "10.1.0.1:80");
            let service = ServiceRecord::new("greeter", "latest").with_nodes(vec![node]);
            registry.register(&service, RegisterOptions::default()).await?;
            count += 1;
            while ready(&selector, &criteria).len() < count {
                tokio::task::yield_now().await;
            }
        }
        print!("{:>8.0}", began.elapsed().as_micros() as f64 / f64::from(CHANGES));
    }
    println!();
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Now,
    Boxed,
    TenOut,
    Whole,
}

async fn row(title: &str, strategy: &str, criteria: &Criteria, way: Way) -> Result<()> {
    print!("{title:<34}");
    for size in SIZES {
        let selector = selector(MemoryRegistry::new(), strategy, size).await?;
        warm(&selector, criteria, size, way).await?;
        let began = Instant::now();
        for _ in 0..ROUNDS {
            let mut candidates = match way {
                Way::Boxed => selector.select("greeter", criteria).await?,
                _ => ready(&selector, criteria),
            };
            let candidate = black_box(candidates.next());
            if let (Way::Whole, Some(candidate)) = (way, candidate) {
                let _in_flight = candidate.start();
                let latency = Duration::from_micros(30);
                selector.mark("greeter", &candidate, Outcome::Success { latency });
            }
        }
        let nanos = began.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
        print!("{nanos:>8.0}");
    }
    println!();
    Ok(())
}

async fn selector(registry: MemoryRegistry, strategy: &str, size: usize) -> Result<CachedSelector> {
    let nodes = (0..size).map(|number| {
        let node = Node::new(
            format!("greeter-{number}"),
            format!("10.0.{}.{}:80", number / 250, number % 250),
        );
        node.with_metadata("zone", if number % 2 == 0 { "north" } else { "south" })
    });
    let service = ServiceRecord::new("greeter", "latest").with_nodes(nodes.collect());
    registry.register(&service, RegisterOptions::default()).await?;
    let cache = RegistryCache::new(Arc::new(registry), RegistryCacheOptions::default());
    let strategy = <dyn Strategy>::named(strategy).expect("the names above are known");
    Ok(CachedSelector::new(
        Arc::new(cache),
        strategy,
        SelectorOptions::default(),
    ))
}

/// Every node has been called, so that all have a latency.
async fn warm(selector: &CachedSelector, criteria: &Criteria, size: usize, way: Way) -> Result<()> {
    let mut candidates = selector.select("greeter", criteria).await?;
    for number in 0..candidates.len().min(size) {
        let Some(candidate) = candidates.next() else {
            break;
        };
        let latency = Duration::from_micros(20 + fastrand::u64(..20));
        selector.mark("greeter", &candidate, Outcome::Success { latency });
        if way == Way::TenOut && number < 10 && size > 10 {
            // Long enough for the measurement.
            for _ in 0..100 {
                selector.mark("greeter", &candidate, Outcome::Unreachable);
            }
        }
    }
    Ok(())
}

fn ready(selector: &CachedSelector, criteria: &Criteria) -> Candidates {
    let ready = selector.select_now("greeter", criteria);
    ready.expect("the service was selected before")
}
