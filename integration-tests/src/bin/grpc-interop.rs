//! Runs the interoperability tests of gRPC beside the programs of its authors in Go. `cargo xtask interop` builds those
//! and runs this.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use integration_tests::interop::{self, Certificates, GoPrograms, Outcome};

/// The interoperability tests of gRPC.
#[derive(Parser)]
struct Arguments {
    /// The folder with the programs `client` and `server`; certificates are written there too.
    #[arg(long)]
    programs: PathBuf,
    /// Run over plain connections alone.
    #[arg(long, conflicts_with = "tls")]
    plaintext: bool,
    /// Run over TLS alone.
    #[arg(long)]
    tls: bool,
    /// Run the cases alone whose names contain this.
    #[arg(long)]
    case: Option<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let programs = GoPrograms::in_folder(&arguments.programs);
    let is_chosen = |case: &str| arguments.case.as_ref().is_none_or(|part| case.contains(part));
    let tell = |outcome: &Outcome| println!("{outcome}");
    let mut outcomes = Vec::new();
    if !arguments.tls {
        outcomes.extend(interop::run(&programs, None, is_chosen, tell).await?);
    }
    if !arguments.plaintext {
        let certificates = Certificates::make(&arguments.programs)?;
        outcomes.extend(interop::run(&programs, Some(&certificates), is_chosen, tell).await?);
    }
    let passed = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_none())
        .count();
    println!("{passed}/{} passed", outcomes.len());
    Ok(match passed == outcomes.len() && passed > 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
