#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "cut.rs"]
mod cut;

fuzz_target!(|bytes: &[u8]| {
    let mut request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    request.extend_from_slice(bytes);
    cut::compare(&request, true);
});
