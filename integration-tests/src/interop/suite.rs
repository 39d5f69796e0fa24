//! All cases, in both directions.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use micro::Transport;
use micro_grpc::{GrpcConfig, GrpcTransport};

use super::{Caller, Certificates, GO_CASES, GoPrograms, RUST_CASES, serve};

/// Who calls whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The client in Go calls the service in Rust.
    GoCallsRust,
    /// The client in Rust calls the service in Go.
    RustCallsGo,
}

/// How a case went.
#[derive(Debug)]
pub struct Outcome {
    /// Its name.
    pub case: &'static str,
    /// Who called whom.
    pub direction: Direction,
    /// Whether over TLS.
    pub is_encrypted: bool,
    /// How long it took.
    pub took: Duration,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Runs cases in both directions, all of them or those that are chosen, and tells of each as soon as it is over.
pub async fn run(
    programs: &GoPrograms,
    certificates: Option<&Certificates>,
    is_chosen: impl Fn(&str) -> bool,
    mut tell: impl FnMut(&Outcome),
) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let is_encrypted = certificates.is_some();
    let mut add = |case, direction, began: Instant, result: anyhow::Result<()>| {
        let outcome = Outcome {
            case,
            direction,
            is_encrypted,
            took: began.elapsed(),
            failure: result.err().map(|error| format!("{error:#}")),
        };
        tell(&outcome);
        outcomes.push(outcome);
    };

    let service = serve(transport(certificates)?).await?;
    for case in GO_CASES.iter().filter(|case| is_chosen(case)) {
        let began = Instant::now();
        let result = programs.call(case, service.address(), certificates).await;
        add(case, Direction::GoCallsRust, began, result);
    }
    service.stop().await?;

    let server = programs.serve(certificates).await?;
    let transport = transport(certificates)?;
    for case in RUST_CASES.iter().filter(|case| is_chosen(case)) {
        let caller = Caller::new(transport.clone(), server.address());
        let began = Instant::now();
        let result = caller.run(case).await;
        add(case, Direction::RustCallsGo, began, result);
    }
    server.stop().await?;
    Ok(outcomes)
}

fn transport(certificates: Option<&Certificates>) -> micro::Result<Arc<dyn Transport>> {
    let config = GrpcConfig {
        tls: certificates.map(Certificates::tls),
        ..GrpcConfig::default()
    };
    Ok(Arc::new(GrpcTransport::new(config)?))
}

impl fmt::Display for Direction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::GoCallsRust => "Go calls Rust",
            Self::RustCallsGo => "Rust calls Go",
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encryption = if self.is_encrypted { "TLS" } else { "plaintext" };
        let result = match &self.failure {
            None => "ok".to_owned(),
            Some(failure) => format!("failed: {failure}"),
        };
        write!(
            formatter,
            "{:<28} {:<14} {encryption:<10} {:>5.2} s  {result}",
            self.case,
            self.direction,
            self.took.as_secs_f64(),
        )
    }
}
