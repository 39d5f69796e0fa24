//! The example prints what it did and ends well.

use std::process::Command;

#[test]
fn it_streams_in_every_direction() {
    let run = Command::new(env!("CARGO_BIN_EXE_streaming"))
        .output()
        .expect("the example starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(
        said,
        "count to 5: 1 2 3 4 5\nsum of 1 to 100: 5050\n1 doubled: 2\n20 doubled: 40\n300 doubled: 600\n\
         -1 doubled: -1 is negative (code 400)\n"
    );
}
