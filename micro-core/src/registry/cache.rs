//! A registry's records kept at hand: watched, and still there when the registry is not.
