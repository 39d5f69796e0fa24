//! The example prints what it did and ends well.

use std::process::Command;

#[test]
fn it_divides_and_refuses_to_divide_by_zero() {
    let run = Command::new(env!("CARGO_BIN_EXE_plain"))
        .output()
        .expect("the example starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(
        said,
        "17 / 5 = 3 remainder 2\n1 / 0: cannot divide 1 by 0 (code 400)\n"
    );
}
