//! Encrypts and proves datagrams by a key that all members share.
//!
//! A datagram is a byte 1, 16 bytes that the sender's process chose at random, 8 bytes that count its datagrams, and the
//! message, sealed by ChaCha20-Poly1305. Each sender has a key of its own, made by HKDF of the shared key and its 16
//! bytes; so no two datagrams have the same nonce, however many there are.
//!
//! A message that is too long for a datagram is two: one with a byte 2 and the first half, and the next one with a byte 3
//! and the rest.

use std::collections::{HashMap, VecDeque};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::GossipKey;

/// What a datagram begins with.
const WHOLE: u8 = 1;
const FIRST: u8 = 2;
const SECOND: u8 = 3;
const SENDER: usize = 16;
const HEAD: usize = 1 + SENDER + 8;
/// The longest datagram of UDP.
pub(crate) const MAX_DATAGRAM: usize = 65_507;
/// The longest message that goes in one.
const MAX_WHOLE: usize = MAX_DATAGRAM - HEAD - TAG;
/// The bytes that prove a message.
const TAG: usize = 16;
/// From how many senders a second half is waited for.
const HALVES: usize = 16;
/// How many senders' keys are kept. Those of others are made anew for each datagram.
const KEPT: usize = 4_096;

pub(crate) struct Seal {
    secret: GossipKey,
    sender: [u8; SENDER],
    own: LessSafeKey,
    sent: u64,
    others: HashMap<[u8; SENDER], LessSafeKey>,
    /// First halves, and what they count, the oldest first.
    halves: VecDeque<([u8; SENDER], u64, Vec<u8>)>,
}

/// What a datagram says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Message(Vec<u8>),
    /// Half a message, without the other half.
    Half,
    /// It is of nobody who has the key.
    Nothing,
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
            halves: VecDeque::new(),
        })
    }

    /// The datagrams for a message: one, or two for a long one. None: the machine cannot seal it.
    pub(crate) fn seal(&mut self, message: &[u8]) -> Option<Vec<Vec<u8>>> {
        if message.len() <= MAX_WHOLE {
            return Some(vec![self.datagram(WHOLE, message)?]);
        }
        let (first, second) = message.split_at(message.len() / 2);
        Some(vec![self.datagram(FIRST, first)?, self.datagram(SECOND, second)?])
    }

    fn datagram(&mut self, kind: u8, message: &[u8]) -> Option<Vec<u8>> {
        self.sent += 1;
        let mut datagram = Vec::with_capacity(HEAD + message.len() + TAG);
        datagram.push(kind);
        datagram.extend_from_slice(&self.sender);
        datagram.extend_from_slice(&self.sent.to_be_bytes());
        let mut sealed = message.to_vec();
        self.own
            .seal_in_place_append_tag(nonce(self.sent), Aad::from(&datagram[..]), &mut sealed)
            .ok()?;
        datagram.extend_from_slice(&sealed);
        Some(datagram)
    }

    /// What a datagram says, with the one before it.
    pub(crate) fn open(&mut self, datagram: &mut [u8]) -> Heard {
        let Some((kind, sender, count, message)) = self.opened(datagram) else {
            return Heard::Nothing;
        };
        match kind {
            FIRST => {
                if self.halves.len() >= HALVES {
                    self.halves.pop_front();
                }
                self.halves.push_back((sender, count, message));
                Heard::Half
            }
            SECOND => self.joined(sender, count, &message),
            _ => Heard::Message(message),
        }
    }

    fn joined(&mut self, sender: [u8; SENDER], count: u64, second: &[u8]) -> Heard {
        let before = count.checked_sub(1);
        let mut halves = self.halves.iter();
        let at = halves.position(|(of, counted, _)| *of == sender && Some(*counted) == before);
        match at.and_then(|at| self.halves.remove(at)) {
            Some((_, _, mut message)) => {
                message.extend_from_slice(second);
                Heard::Message(message)
            }
            None => Heard::Half,
        }
    }

    /// Kind, sender, count and message of a datagram, if it is one of somebody who has the key.
    fn opened(&mut self, datagram: &mut [u8]) -> Option<(u8, [u8; SENDER], u64, Vec<u8>)> {
        let (head, sealed) = datagram.split_at_mut_checked(HEAD)?;
        let (kind, rest) = head.split_first()?;
        let (sender, count) = rest.split_first_chunk::<SENDER>()?;
        let count = u64::from_be_bytes(count.try_into().ok()?);
        let open = |key: &LessSafeKey, sealed: &mut [u8]| {
            let opened = key.open_in_place(nonce(count), Aad::from(&head[..]), sealed);
            opened.ok().map(|message| message.to_vec())
        };
        if ![WHOLE, FIRST, SECOND].contains(kind) {
            return None;
        }
        if let Some(key) = self.others.get(sender) {
            return Some((*kind, *sender, count, open(key, sealed)?));
        }
        let key = key_of(&self.secret, sender)?;
        let message = open(&key, sealed)?;
        if self.others.len() < KEPT {
            self.others.insert(*sender, key);
        }
        Some((*kind, *sender, count, message))
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
        let mut datagrams = seal.seal(message).unwrap();
        assert_eq!(datagrams.len(), 1);
        datagrams.remove(0)
    }

    #[test]
    fn who_has_the_key_reads_and_nobody_else() {
        let (mut one, mut two) = (Seal::new(&key("a")).unwrap(), Seal::new(&key("a")).unwrap());
        let mut stranger = Seal::new(&key("b")).unwrap();
        for message in [&b"hello"[..], b"hello", b""] {
            let datagram = sealed(&mut one, message);
            assert!(!datagram.windows(5).any(|window| window == b"hello"));
            assert_eq!(two.open(&mut datagram.clone()), Heard::Message(message.to_vec()));
            assert_eq!(stranger.open(&mut datagram.clone()), Heard::Nothing);
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
            assert_eq!(seal.open(&mut changed), Heard::Nothing, "byte {at}");
        }
        for length in 0..datagram.len() {
            assert_eq!(seal.open(&mut datagram[..length].to_vec()), Heard::Nothing);
        }
    }

    #[test]
    fn a_message_of_any_length_goes_in_datagrams_of_udp() {
        let (mut one, mut two) = (Seal::new(&key("a")).unwrap(), Seal::new(&key("a")).unwrap());
        for length in [MAX_WHOLE - 1, MAX_WHOLE, MAX_WHOLE + 1, MAX_DATAGRAM] {
            let message: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
            let mut datagrams = one.seal(&message).unwrap();
            assert_eq!(datagrams.len(), if length > MAX_WHOLE { 2 } else { 1 });
            assert!(datagrams.iter().all(|datagram| datagram.len() <= MAX_DATAGRAM));
            let mut heard: Vec<Heard> = datagrams.iter_mut().map(|datagram| two.open(datagram)).collect();
            assert_eq!(heard.pop(), Some(Heard::Message(message)));
            assert!(heard.iter().all(|heard| *heard == Heard::Half));
        }
        assert!(two.halves.is_empty());
    }

    #[test]
    fn a_half_whose_other_half_is_lost_is_no_message() {
        let (mut one, mut two) = (Seal::new(&key("a")).unwrap(), Seal::new(&key("a")).unwrap());
        let message = vec![7; MAX_DATAGRAM];
        for _ in 0..HALVES * 2 {
            let mut datagrams = one.seal(&message).unwrap();
            assert_eq!(two.open(&mut datagrams[0]), Heard::Half);
            datagrams = one.seal(&message).unwrap();
            assert_eq!(two.open(&mut datagrams[1]), Heard::Half);
        }
        assert_eq!(two.halves.len(), HALVES);
        let mut datagrams = one.seal(&message).unwrap();
        assert_eq!(two.open(&mut datagrams[0]), Heard::Half);
        assert_eq!(two.open(&mut datagrams[1]), Heard::Message(message));
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_message(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(Seal::new(&key("a")).unwrap().open(&mut bytes), Heard::Nothing);
        }
    }
}
