//! The interoperability tests of gRPC, but for the long ones: `cargo xtask interop` runs all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use integration_tests::interop::{self, Caller, Certificates, GoPrograms, RUST_CASES};
use micro_grpc::{GrpcConfig, GrpcTransport};

use crate::go_peer::build_with_go;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-interop")
}

async fn programs() -> Option<GoPrograms> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/interop");
    let packages = ["client", "server"].map(|name| format!("google.golang.org/grpc/interop/{name}"));
    std::fs::create_dir_all(folder()).unwrap();
    let is_built = build_with_go(&module, &[&packages[0], &packages[1]], &folder()).await;
    is_built.then(|| GoPrograms::in_folder(&folder()))
}

fn is_short(case: &str) -> bool {
    !case.ends_with("_soak") && case != "concurrent_large_unary"
}

#[tokio::test]
async fn grpcs_own_client_and_server_agree_with_the_transport() {
    let Some(programs) = programs().await else {
        return;
    };
    let certificates = Certificates::make(&folder()).unwrap();
    for certificates in [None, Some(&certificates)] {
        let outcomes = interop::run(&programs, certificates, is_short, |_| {})
            .await
            .unwrap();
        assert!(outcomes.len() > 25, "{outcomes:?}");
        let failed: Vec<_> = outcomes
            .iter()
            .filter(|outcome| outcome.failure.is_some())
            .collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }
}

#[tokio::test]
async fn the_two_sides_agree_with_each_other() {
    let transport = Arc::new(GrpcTransport::new(GrpcConfig::default()).unwrap());
    let service = interop::serve(transport.clone()).await.unwrap();
    // A method that is not there is told in Go Micro's words between the two, and not by the status alone.
    for case in RUST_CASES
        .iter()
        .filter(|case| !case.starts_with("unimplemented"))
    {
        let caller = Caller::new(transport.clone(), service.address());
        if let Err(error) = caller.run(case).await {
            panic!("{case}: {error:#}");
        }
    }
    service.stop().await.unwrap();
}
