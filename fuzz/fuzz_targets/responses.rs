#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "cut.rs"]
mod cut;

fuzz_target!(|bytes: &[u8]| cut::compare(bytes, false));
