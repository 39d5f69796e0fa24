//! The serving end: a subject that is listened to.

mod listener;
mod sockets;
mod work;

pub(crate) use self::listener::listen;
