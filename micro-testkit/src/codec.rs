//! What every [`Codec`] must do.
//!
//! ```ignore
//! micro_testkit::codec_conformance!(|| MessagePack, CodecTraits { serde: true, ..CodecTraits::default() });
//! ```

mod envelope;
mod hostile;
mod message;
mod subject;
mod value;

use std::sync::Arc;

use micro_core::codec::Codec;

use self::envelope::*;
use self::hostile::*;
use self::value::*;
use crate::suite::{Boxed, Failure, Suite};

pub use self::subject::CodecSubject;

/// What a codec is made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CodecTraits {
    /// Whether it carries what has a protobuf form. Default: no.
    pub protobuf: bool,
    /// Whether it carries what serde can write and read. Default: no.
    pub serde: bool,
    /// Whether it carries raw bytes. Default: no.
    pub raw: bool,
    /// Whether its format has an envelope, which says endpoint, id and error inside the body. Default: no.
    pub envelope: bool,
}

/// Makes one test of each case for a codec.
///
/// Takes a factory, `Fn() -> impl Codec`, and the [`CodecTraits`](crate::codec::CodecTraits). Several in one file
/// need a module each.
#[macro_export]
macro_rules! codec_conformance {
    ($(#[$attribute:meta])* $factory:expr, $traits:expr $(,)?) => {
        $crate::__codec_cases!(__tests { codec, [$(#[$attribute])*], $factory, $traits });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __codec_cases {
    ($then:ident { $($arguments:tt)* }) => {
        $crate::$then! { $($arguments)* ;
            the_content_type_is_in_its_plain_form
            it_is_found_by_its_content_type
            it_carries_something
            values_come_back
            empty_values_come_back
            a_large_value_comes_back
            a_value_at_the_front_of_a_buffer_is_taken_off_it
            what_cannot_be_read_is_taken_off_its_buffer_too
            what_it_writes_does_not_depend_on_the_time
            a_type_without_the_wanted_form_is_unsupported
            a_value_that_cannot_be_written_is_an_error
            an_empty_body_is_a_value_or_a_bad_request
            a_body_that_is_cut_off_is_a_bad_request
            a_body_with_wrong_bytes_is_a_bad_request
            a_random_body_is_a_bad_request
            a_body_that_nests_deeply_is_a_bad_request
            a_length_that_lies_is_a_bad_request
            an_envelope_says_endpoint_and_id
            a_body_without_an_envelope_says_nothing
        }
    };
}

/// All cases for codecs.
pub fn suite() -> Suite<CodecSubject> {
    Suite::new(crate::__codec_cases!(__cases {}))
}

impl Suite<CodecSubject> {
    /// Runs the cases against what the factory makes.
    pub async fn run<F, C>(self, factory: F, traits: CodecTraits) -> crate::Report
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Codec,
    {
        self.collect(move || subject(factory(), traits)).await
    }
}

/// Runs one case as a test does: panics when it fails.
#[doc(hidden)]
pub fn check<F, C>(case: &str, factory: F, traits: CodecTraits)
where
    F: Fn() -> C,
    C: Codec,
{
    suite().check(case, subject(factory(), traits));
}

fn subject(codec: impl Codec, traits: CodecTraits) -> Boxed<Result<CodecSubject, Failure>> {
    let codec: Arc<dyn Codec> = Arc::new(codec);
    Box::pin(async move { Ok(CodecSubject { codec, traits }) })
}
