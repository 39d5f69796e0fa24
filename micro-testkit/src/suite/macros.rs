//! How cases are listed, checked, and turned into tests.

/// Ends the case as failed unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::suite::Ending::failed(format!($($message)+)));
        }
    };
}

/// Ends the case as failed unless the two are equal.
macro_rules! ensure_eq {
    ($found:expr, $wanted:expr, $($message:tt)+) => {
        match (&$found, &$wanted) {
            (found, wanted) => $crate::suite::ensure!(
                *found == *wanted,
                "{}: found {found:?}, wanted {wanted:?}",
                format_args!($($message)+)
            ),
        }
    };
}

/// Ends the case as skipped unless the implementation can do what the case is about.
macro_rules! needs {
    ($ability:expr, $why:literal) => {
        if !$ability {
            return Err($crate::suite::Ending::Skipped($why));
        }
    };
}

pub(crate) use {ensure, ensure_eq, needs};

/// Makes the list of cases of a suite from their names, which are functions in scope.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases {
    (; $($case:ident)*) => {
        vec![$($crate::suite::Case::new(stringify!($case), |subject| Box::pin($case(subject)))),*]
    };
}

/// Makes one test of each case.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($suite:ident, $attributes:tt, $factory:expr, $traits:expr; $($case:ident)*) => {
        $($crate::__test!($suite, $attributes, $factory, $traits, $case);)*
    };
}

/// Makes a test of one case. A macro of its own, because a test has any number of attributes.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ($suite:ident, [$($attribute:tt)*], $factory:expr, $traits:expr, $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::$suite::check(stringify!($case), $factory, $traits);
        }
    };
}

/// Makes one test of each case of a suite of outages.
#[doc(hidden)]
#[macro_export]
macro_rules! __outage_tests {
    ($suite:ident, $server:expr, $connect:expr, $traits:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::$suite::check_outage(stringify!($case), $server, $connect, $traits);
            }
        )*
    };
}
