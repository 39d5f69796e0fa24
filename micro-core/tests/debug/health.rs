//! Readiness and health over plain HTTP.

use std::sync::Arc;

use micro_core::Error;
use micro_core::debug::{Diagnostics, HealthRequest, HealthResponse, Readiness};
use tokio::sync::Notify;

use crate::service::{ask, builder, exchange, get, greet, hello, in_memory, start, within};

#[tokio::test]
async fn readiness_goes_from_starting_over_serving_to_draining() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let diagnostics = Diagnostics::default();
    let note = |place: &'static str| {
        let (seen, diagnostics) = (seen.clone(), diagnostics.clone());
        move || async move {
            seen.lock().unwrap().push((place, diagnostics.readiness()));
            Ok(())
        }
    };
    let greeter = in_memory("greeter")
        .diagnostics(diagnostics.clone())
        .before_start(note("before start"))
        .after_start(note("after start"))
        .before_stop(note("before stop"));
    let service = start(greeter).await;
    assert_eq!(service.readiness(), Readiness::Serving);
    let health: HealthResponse = ask(&service, "Debug.Health", HealthRequest::default()).await;
    assert_eq!(health.status, "ok");
    service.stop().await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            ("before start", Readiness::Starting),
            ("after start", Readiness::Serving),
            ("before stop", Readiness::Draining),
        ]
    );
    assert_eq!(diagnostics.readiness().status(), "draining");
}

#[tokio::test]
async fn health_is_served_over_plain_http_beside_calls() {
    let database = Arc::new(std::sync::Mutex::new(Ok(())));
    let asked = database.clone();
    let greeter = builder("greeter")
        .version("1.2")
        .handler(hello())
        .health_check("database", move || {
            let state = *asked.lock().unwrap();
            async move { state.map_err(|text: &str| Error::unavailable("greeter", text)) }
        });
    let service = start(greeter).await;
    for path in ["/health", "/health/ready", "/health/live"] {
        let (status, report) = get(service.address(), path).await;
        assert_eq!((status, &report["status"]), (200, &"up".into()), "{report}");
        assert_eq!(report["info"]["service"], "greeter");
        assert_eq!(report["info"]["version"], "1.2");
    }
    *database.lock().unwrap() = Err("gone away");
    for (path, expected) in [("/health", 503), ("/health/ready", 503), ("/health/live", 200)] {
        let (status, report) = get(service.address(), path).await;
        assert_eq!(status, expected, "{report}");
        if expected == 503 {
            assert_eq!(
                (&report["status"], &report["checks"][0]["status"]),
                (&"down".into(), &"up".into())
            );
            let check = &report["checks"][1];
            assert_eq!(
                (&check["name"], &check["status"]),
                (&"database".into(), &"down".into())
            );
            assert!(check["error"].as_str().unwrap().contains("gone away"), "{check}");
        }
    }
    assert_eq!(get(service.address(), "/health/else").await.0, 404);
    let post = "POST /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    assert!(exchange(service.address(), post).await.contains(" 405 "));
    assert_eq!(greet(service.client(), "World").await.unwrap(), "Hello World");
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_that_drains_is_not_ready_but_lives() {
    let (draining, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let signals = (draining.clone(), go_on.clone());
    let greeter = builder("greeter").before_stop(move || async move {
        signals.0.notify_one();
        signals.1.notified().await;
        Ok(())
    });
    let service = start(greeter).await;
    let address = service.address().to_owned();
    let stop = tokio::spawn(service.stop());
    within(draining.notified()).await;
    let (status, report) = get(&address, "/health/ready").await;
    assert_eq!(status, 503);
    assert_eq!(report["checks"][0]["error"], "the service is draining");
    assert_eq!(report["info"]["readiness"], "draining");
    assert_eq!(get(&address, "/health/live").await.0, 200);
    go_on.notify_one();
    within(stop).await.unwrap().unwrap();
}
