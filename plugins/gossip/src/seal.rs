//! Encrypts and proves datagrams by a key that all members share.
//!
//! A datagram is a byte 1, 16 bytes that the sender's process chose at random, 8 bytes that count its datagrams, and the
//! message, sealed by ChaCha20-Poly1305. Each sender has a key of its own, made by HKDF of the shared key and its 16
//! bytes; so no two datagrams have the same nonce, however many there are.

use std::collections::HashMap;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::GossipKey;

const KIND: u8 = 1;
const SENDER: usize = 16;
const HEAD: usize = 1 + SENDER + 8;
/// How many senders' keys are kept. Those of others are made anew for each datagram.
const KEPT: usize = 4_096;

pub(crate) struct Seal {
    secret: GossipKey,
    sender: [u8; SENDER],
    own: LessSafeKey,
    sent: u64,
    others: HashMap<[u8; SENDER], LessSafeKey>,
}

impl Seal {
    /// None: the machine gives no random bytes.
    pub(crate) fn new(secret: &GossipKey) -> Option<Self> {
        let mut sender = [0; SENDER];
        SystemRandom::new().fill(&mut sender).ok()?;
        Some(Self {
            own: key_of(secret, &sender)?,
            secret: secret.clone(),
            sender,
            sent: 0,
            others: HashMap::new(),
        })
    }

    /// Writes the datagram for a message.
    pub(crate) fn seal(&mut self, message: &[u8], datagram: &mut Vec<u8>) -> Option<()> {
        self.sent += 1;
        datagram.clear();
        datagram.push(KIND);
        datagram.extend_from_slice(&self.sender);
        datagram.extend_from_slice(&self.sent.to_be_bytes());
        let mut sealed = message.to_vec();
        self.own
            .seal_in_place_append_tag(nonce(self.sent), Aad::from(&datagram[..]), &mut sealed)
            .ok()?;
        datagram.extend_from_slice(&sealed);
        Some(())
    }

    /// The message of a datagram, if it is one of somebody who has the key.
    pub(crate) fn open<'a>(&mut self, datagram: &'a mut [u8]) -> Option<&'a [u8]> {
        let (head, sealed) = datagram.split_at_mut_checked(HEAD)?;
        let (kind, rest) = head.split_first()?;
        let (sender, count) = rest.split_first_chunk::<SENDER>()?;
        let count = u64::from_be_bytes(count.try_into().ok()?);
        let open = |key: &LessSafeKey, sealed: &'a mut [u8]| {
            let opened = key.open_in_place(nonce(count), Aad::from(&head[..]), sealed);
            opened.ok().map(|message| &*message)
        };
        if *kind != KIND {
            return None;
        }
        if let Some(key) = self.others.get(sender) {
            return open(key, sealed);
        }
        let key = key_of(&self.secret, sender)?;
        let message = open(&key, sealed)?;
        if self.others.len() < KEPT {
            self.others.insert(*sender, key);
        }
        Some(message)
    }
}

fn key_of(secret: &GossipKey, sender: &[u8; SENDER]) -> Option<LessSafeKey> {
    let derived = Salt::new(HKDF_SHA256, sender).extract(secret.bytes());
    let derived = derived.expand(&[b"micro gossip"], &CHACHA20_POLY1305).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(derived)))
}

fn nonce(count: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&count.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> GossipKey {
        GossipKey::new(text.repeat(32)).unwrap()
    }

    fn sealed(seal: &mut Seal, message: &[u8]) -> Vec<u8> {
        let mut datagram = Vec::new();
        seal.seal(message, &mut datagram).unwrap();
        datagram
    }

    #[test]
    fn who_has_the_key_reads_and_nobody_else() {
        let (mut one, mut two) = (Seal::new(&key("a")).unwrap(), Seal::new(&key("a")).unwrap());
        let mut stranger = Seal::new(&key("b")).unwrap();
        for message in [&b"hello"[..], b"hello", b""] {
            let datagram = sealed(&mut one, message);
            assert!(!datagram.windows(5).any(|window| window == b"hello"));
            assert_eq!(two.open(&mut datagram.clone()), Some(message));
            assert_eq!(stranger.open(&mut datagram.clone()), None);
            assert_ne!(datagram, sealed(&mut one, message));
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let mut seal = Seal::new(&key("a")).unwrap();
        let datagram = sealed(&mut seal, b"hello");
        for at in 0..datagram.len() {
            let mut changed = datagram.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(&mut changed), None, "byte {at}");
        }
        for length in 0..datagram.len() {
            assert_eq!(seal.open(&mut datagram[..length].to_vec()), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_message(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Seal::new(&key("a")).unwrap().open(&mut bytes), None);
        }
    }
}
