//! Encrypted values, which only their program can decrypt.

use async_trait::async_trait;
use micro::config::Decrypt;

/// Leaves them as they are stored, so that all else can be looked at.
pub(super) struct Sealed;

#[async_trait]
impl Decrypt for Sealed {
    async fn decrypt(&self, sealed: &str) -> Result<String, String> {
        Ok(format!("encrypted:{sealed}"))
    }
}
