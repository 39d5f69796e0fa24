//! Ports that nobody else uses, also when the server that had one is down for a while.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// Below what systems give to outgoing connections, so that no such connection takes a port between two starts.
const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;
/// How far from one another two processes begin whose numbers follow each other. A prime.
const APART: u32 = 997;

/// What this process has given out.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// As many free ports as are asked for.
///
/// # Errors
///
/// When there are none.
pub(crate) fn free<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let mut found = [0; COUNT];
    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Where to begin differs from process to process.
    let span = LAST - FIRST;
    let start = u16::try_from(std::process::id().wrapping_mul(APART) % u32::from(span))
        .context("a port is a small number")?;
    let mut candidates = (0..span).map(|step| FIRST + (start + step * 7) % span);
    for port in &mut found {
        let free = candidates.find(|port| !taken.contains(port) && is_free(*port));
        let Some(free) = free else {
            bail!("no free port between {FIRST} and {LAST}");
        };
        taken.insert(free);
        *port = free;
    }
    Ok(found)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
