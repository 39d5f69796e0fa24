//! Equal keys to the same node, and few keys move when nodes come and go.

use std::sync::Arc;

use super::{Candidate, Picker, Strategy};

/// Calls with the same [key](super::Criteria::key) go to the same node; calls without one go anywhere.
///
/// All processes agree on the node of a key, because it follows from the nodes' ids alone. A node that comes takes
/// its share of keys from the others, and a node that goes leaves its keys to the others; no other key moves.
///
/// Each node is one point on a circle; a key is hashed several times, and the node that follows the closest to one
/// of these hashes takes it (multi-probe consistent hashing). Compared with a circle of many points a node, this
/// stays small and is quickly prepared for ten thousand nodes, while no node's share is much above the average.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConsistentHash;

/// With 21 hashes a key, the largest share stays near 1.1 of the average.
const PROBES: u64 = 21;

impl Strategy for ConsistentHash {
    fn name(&self) -> &str {
        "hash"
    }

    fn prepare(&self, nodes: &[Arc<Candidate>]) -> Box<dyn Picker> {
        Box::new(Circle::new(nodes.iter().map(|node| node.id().as_str())))
    }
}

struct Circle {
    /// Hash and position of each node, sorted.
    points: Vec<(u64, usize)>,
    /// For each equal part of the circle, the first point that lies in or after it.
    parts: Vec<usize>,
    /// How far to shift a hash to get its part.
    shift: u32,
}

impl Circle {
    fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let mut points: Vec<_> = ids.enumerate().map(|(node, id)| (hash(id), node)).collect();
        points.sort_unstable();
        let parts = points.len().next_power_of_two().max(2);
        let shift = u64::BITS - parts.trailing_zeros();
        let first = |part: usize| points.partition_point(|(hash, _)| hash >> shift < part as u64);
        Self {
            parts: (0..parts).map(first).collect(),
            points,
            shift,
        }
    }

    /// The first point at or after a hash, around the end.
    fn next(&self, hash: u64) -> (u64, usize) {
        let mut at = self.parts[(hash >> self.shift) as usize];
        while self.points.get(at).is_some_and(|point| point.0 < hash) {
            at += 1;
        }
        *self.points.get(at).unwrap_or(&self.points[0])
    }
}

impl Picker for Circle {
    fn pick(&self, nodes: &[Arc<Candidate>], key: Option<&str>, attempt: usize) -> usize {
        let Some(key) = key else {
            return fastrand::usize(..nodes.len());
        };
        // A further attempt is another key: the keys of a node that is out spread over all others.
        let base = hash(key) ^ mix(attempt as u64);
        let probes = (0..PROBES).map(|probe| mix(base.wrapping_add(probe.wrapping_mul(STEP))));
        let nearest = probes.map(|probe| {
            let (point, node) = self.next(probe);
            (point.wrapping_sub(probe), node)
        });
        nearest.min().map_or(0, |(_, node)| node)
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// FNV-1a, mixed: the same in every process and every version of this crate.
fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(fnv)
}

/// Every bit of the result depends on every bit of the number; 0 stays 0.
fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
