//! Datagrams that are lost, repeated and overtaken: every call is handled once and answered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use micro_core::{Request, Response};
use micro_udp::UdpConfig;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::raw::*;

/// What happens to each datagram, in percent.
#[derive(Clone, Copy)]
struct Weather {
    lost: u8,
    repeated: u8,
    /// Held back for so long that others overtake it.
    delayed: u8,
}

/// Stands between a caller and a listener.
async fn bad_weather(listener: &str, weather: Weather, seed: u64) -> (String, AbortOnDropHandle<()>) {
    let outside = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let inside = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    inside.connect(listener).await.unwrap();
    let address = outside.local_addr().unwrap().to_string();
    let task = async move {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut caller = None;
        let mut flying = JoinSet::new();
        let (mut going, mut coming) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            let (bytes, is_going) = tokio::select! {
                received = outside.recv_from(&mut going) => {
                    let Ok((length, from)) = received else { continue };
                    caller = Some(from);
                    (Bytes::copy_from_slice(&going[..length]), true)
                }
                received = inside.recv(&mut coming) => {
                    let Ok(length) = received else { continue };
                    (Bytes::copy_from_slice(&coming[..length]), false)
                }
                Some(_) = flying.join_next() => continue,
            };
            let copies = match random.u8(..100) {
                chance if chance < weather.lost => 0,
                chance if chance < weather.lost + weather.repeated => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let is_delayed = random.u8(..100) < weather.delayed;
                let delay = Duration::from_millis(if is_delayed { random.u64(1..150) } else { 0 });
                let (outside, inside, bytes) = (outside.clone(), inside.clone(), bytes.clone());
                flying.spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = match (is_going, caller) {
                        (true, _) => inside.send(&bytes).await,
                        (false, Some(caller)) => outside.send_to(&bytes, caller).await,
                        (false, None) => Ok(0),
                    };
                });
            }
        }
    };
    (address, AbortOnDropHandle::new(tokio::spawn(task)))
}

async fn every_call_is_handled_once(weather: Weather, seed: u64) {
    let handled: Arc<Mutex<HashMap<Bytes, usize>>> = Arc::default();
    let counts = handled.clone();
    let listener = serve(UdpConfig::default(), move |mut request| {
        let counts = counts.clone();
        async move {
            let body = request.take_body().single().await?;
            *counts.lock().unwrap().entry(body.clone()).or_default() += 1;
            // Some take longer than the caller's first pauses.
            if body.len() % 7 == 0 {
                tokio::time::sleep(Duration::from_millis(120)).await;
            }
            Ok(Response::new(body))
        }
    })
    .await;
    let (address, _between) = bad_weather(listener.address(), weather, seed).await;
    let config = UdpConfig {
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(100),
        ..UdpConfig::default()
    };
    let peer = dial(&address, config).await;
    let calls = (0..20).map(|lane| {
        let peer = &peer;
        async move {
            for number in 0..20 {
                let body = Bytes::from(format!("{lane}:{number}:{}", "x".repeat(number)));
                let answer = peer.handle(Request::new("a", "B.C", body.clone())).await.unwrap();
                assert_eq!(answer.body.single().await.unwrap(), body);
            }
        }
    });
    let calls: Vec<_> = calls.collect();
    tokio::time::timeout(Duration::from_secs(60), join_all(calls))
        .await
        .expect("not within 60 s");
    let handled = handled.lock().unwrap();
    let twice: Vec<_> = handled.iter().filter(|(_, count)| **count != 1).collect();
    assert!(
        handled.len() == 400 && twice.is_empty(),
        "{} were handled, {twice:?}",
        handled.len()
    );
}

#[tokio::test]
async fn a_lost_datagram_loses_no_call() {
    let weather = Weather {
        lost: 30,
        repeated: 0,
        delayed: 0,
    };
    every_call_is_handled_once(weather, 1).await;
}

#[tokio::test]
async fn a_repeated_datagram_runs_no_call_twice() {
    let weather = Weather {
        lost: 0,
        repeated: 60,
        delayed: 50,
    };
    every_call_is_handled_once(weather, 2).await;
}

#[tokio::test]
async fn in_a_storm_every_call_is_handled_once() {
    for seed in 3..6 {
        let weather = Weather {
            lost: 25,
            repeated: 25,
            delayed: 30,
        };
        every_call_is_handled_once(weather, seed).await;
    }
}
