//! The messages of etcd's v3 API that are used here, with just the fields that are used. Where the API has a choice
//! of several, the one that is wanted is an optional field: the bytes are the same.

use prost::Message;

/// The method that reads keys.
pub const RANGE: &str = "/etcdserverpb.KV/Range";
/// The method that changes keys if they are as they were.
pub const TXN: &str = "/etcdserverpb.KV/Txn";
/// The method that watches keys.
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// The method that grants a lease.
pub const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
/// The method that gives one back.
pub const LEASE_REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
/// The method that renews one.
pub const LEASE_KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
/// The method that logs in.
pub const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";

/// [`Compare::target`]: the revision at which the key was last changed.
pub const MOD: i32 = 2;
/// [`Event::kind`]: the key is gone.
pub const DELETED: i32 = 1;

/// What all answers begin with.
#[derive(Clone, PartialEq, Message)]
pub struct ResponseHeader {
    /// The revision of all keys.
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

/// A key with what it has.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// The key, or the first of a range.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The revision at which the key was last changed. 0: it does not exist.
    #[prost(int64, tag = "3")]
    pub mod_revision: i64,
    /// The value.
    #[prost(bytes = "vec", tag = "5")]
    pub value: Vec<u8>,
    /// The lease that it goes with. 0: none.
    #[prost(int64, tag = "6")]
    pub lease: i64,
}

/// Which keys to read.
#[derive(Clone, PartialEq, Message)]
pub struct RangeRequest {
    /// The key, or the first of a range.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The first key behind the range. Empty: just the key.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// Whether what one member knows is enough, which works without a leader.
    #[prost(bool, tag = "7")]
    pub serializable: bool,
    /// Whether to count them only.
    #[prost(bool, tag = "9")]
    pub count_only: bool,
}

/// The keys that were read.
#[derive(Clone, PartialEq, Message)]
pub struct RangeResponse {
    /// The revision at which it was so.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// The keys, in their order.
    #[prost(message, repeated, tag = "2")]
    pub kvs: Vec<KeyValue>,
}

/// What a key is to have.
#[derive(Clone, PartialEq, Message)]
pub struct PutRequest {
    /// The key, or the first of a range.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
    /// The lease that it goes with. 0: none.
    #[prost(int64, tag = "3")]
    pub lease: i64,
}

/// Which key to delete.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteRangeRequest {
    /// The key, or the first of a range.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

/// One change of a transaction: one of the two.
#[derive(Clone, PartialEq, Message)]
pub struct RequestOp {
    /// A key to put.
    #[prost(message, optional, tag = "2")]
    pub put: Option<PutRequest>,
    /// A key to delete.
    #[prost(message, optional, tag = "3")]
    pub delete: Option<DeleteRangeRequest>,
}

/// A condition of a transaction. Equality is the result 0, which is not written.
#[derive(Clone, PartialEq, Message)]
pub struct Compare {
    /// What is compared.
    #[prost(int32, tag = "2")]
    pub target: i32,
    /// The key, or the first of a range.
    #[prost(bytes = "vec", tag = "3")]
    pub key: Vec<u8>,
    /// The revision at which the key was last changed. 0: it does not exist.
    #[prost(int64, optional, tag = "6")]
    pub mod_revision: Option<i64>,
}

/// Changes under conditions.
#[derive(Clone, PartialEq, Message)]
pub struct TxnRequest {
    /// The conditions.
    #[prost(message, repeated, tag = "1")]
    pub compare: Vec<Compare>,
    /// What to do when all are met.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
}

/// What came of a transaction.
#[derive(Clone, PartialEq, Message)]
pub struct TxnResponse {
    /// The revision at which it was so.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether all conditions were met.
    #[prost(bool, tag = "2")]
    pub succeeded: bool,
}

/// How long a lease is to live.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseGrantRequest {
    /// The time to live in seconds.
    #[prost(int64, tag = "1")]
    pub ttl: i64,
}

/// The lease that was granted.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseGrantResponse {
    /// The lease.
    #[prost(int64, tag = "2")]
    pub id: i64,
}

/// A lease, of a revocation and of a keep-alive.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseRequest {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// That a lease was given back.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseRevokeResponse {}

/// How long a lease lives. A time to live of 0 or less: there is no such lease.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseKeepAliveResponse {
    /// The time to live in seconds.
    #[prost(int64, tag = "3")]
    pub ttl: i64,
}

/// Who logs in.
#[derive(Clone, PartialEq, Message)]
pub struct AuthenticateRequest {
    /// The user.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The user's password.
    #[prost(string, tag = "2")]
    pub password: String,
}

/// The token of who logged in.
#[derive(Clone, PartialEq, Message)]
pub struct AuthenticateResponse {
    /// What to show from now on.
    #[prost(string, tag = "2")]
    pub token: String,
}

/// What is asked of a stream of watches.
#[derive(Clone, PartialEq, Message)]
pub struct WatchRequest {
    /// A watch to begin.
    #[prost(message, optional, tag = "1")]
    pub create: Option<WatchCreateRequest>,
}

/// What to watch.
#[derive(Clone, PartialEq, Message)]
pub struct WatchCreateRequest {
    /// The key, or the first of a range.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The first key behind the range. Empty: just the key.
    #[prost(bytes = "vec", tag = "2")]
    pub range_end: Vec<u8>,
    /// The first revision to tell of.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
}

/// What a watch tells.
#[derive(Clone, PartialEq, Message)]
pub struct WatchResponse {
    /// The revision at which it was so.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Whether it began just now.
    #[prost(bool, tag = "3")]
    pub created: bool,
    /// Whether it ended.
    #[prost(bool, tag = "4")]
    pub canceled: bool,
    /// The first revision that there still is, where it ended for that.
    #[prost(int64, tag = "5")]
    pub compact_revision: i64,
    /// Why it ended.
    #[prost(string, tag = "6")]
    pub cancel_reason: String,
    /// What happened, in its order.
    #[prost(message, repeated, tag = "11")]
    pub events: Vec<Event>,
}

/// What happened to a key.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// 0, or [`DELETED`].
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The key as it is now.
    #[prost(message, optional, tag = "2")]
    pub kv: Option<KeyValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A comparison with revision 0, which says that the key must not exist, has to be on the wire.
    #[test]
    fn a_transaction_is_written_as_etcd_reads_it() {
        let transaction = TxnRequest {
            compare: vec![Compare {
                target: MOD,
                key: b"k".to_vec(),
                mod_revision: Some(0),
            }],
            success: vec![RequestOp {
                put: Some(PutRequest {
                    key: b"k".to_vec(),
                    value: b"v".to_vec(),
                    lease: 7,
                }),
                delete: None,
            }],
        };
        let expected = [
            &[0x0a, 7, 0x10, 2, 0x1a, 1, b'k', 0x30, 0][..],
            &[0x12, 10, 0x12, 8, 0x0a, 1, b'k', 0x12, 1, b'v', 0x18, 7],
        ]
        .concat();
        assert_eq!(transaction.encode_to_vec(), expected);
    }

    #[test]
    fn what_is_not_used_of_an_answer_is_skipped() {
        // Header of cluster 1 and revision 5; watch 9; one event: key k, created at 4, changed at 5, version 1.
        let bytes = [
            &[0x0a, 4, 0x08, 1, 0x18, 5, 0x10, 9][..],
            &[0x5a, 11, 0x12, 9, 0x0a, 1, b'k', 0x10, 4, 0x18, 5, 0x20, 1],
        ]
        .concat();
        let response = WatchResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(response.header.unwrap().revision, 5);
        let kv = response.events[0].kv.as_ref().unwrap();
        assert_eq!(
            (kv.key.as_slice(), kv.mod_revision, response.events[0].kind),
            (&b"k"[..], 5, 0)
        );
    }
}
