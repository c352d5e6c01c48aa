//! `AgentX` packets (RFC 2741 §6): what a subagent says to its master and hears from it.
//!
//! Pure. The master may speak either byte order; we speak network byte order. Foreign bytes never panic, and nothing is
//! allocated beyond what they hold.
//!
//! ```text
//!  0                   1                   2                   3
//! +-------+-------+-------+-------+-------+-------+-------+-------+
//! | version = 1   | type          | flags         | reserved      |
//! | session id                                                    |
//! | transaction id                                                |
//! | packet id                                                     |
//! | payload length, without this header, a multiple of 4          |
//! +---------------------------------------------------------------+
//! ```

use thiserror::Error;

/// Bytes of the header.
pub const HEADER: usize = 20;

/// The longest payload that is accepted, in bytes: thousands of times what a manager asks for at once.
pub const LIMIT: usize = 1 << 20;

/// The longest object identifier, in numbers (RFC 2578 §3.5).
const LONGEST: usize = 128;

/// Flags of the header.
const NON_DEFAULT_CONTEXT: u8 = 0x08;
const NETWORK_BYTE_ORDER: u8 = 0x10;

/// An object identifier.
pub type Oid = Vec<u32>;

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Another version than 1.
    #[error("AgentX version {0}")]
    Version(u8),
    /// The payload is too long, or no multiple of four.
    #[error("an AgentX payload of {0} bytes")]
    Length(usize),
    /// The payload ends too early.
    #[error("an AgentX packet is cut")]
    Cut,
    /// A type of value that SNMP does not have.
    #[error("an AgentX value of type {0}")]
    Value(u16),
    /// An object identifier with too many numbers.
    #[error("an object identifier of {0} numbers")]
    Oid(usize),
}

/// The value of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// INTEGER, Integer32.
    Integer(i32),
    /// OCTET STRING.
    Octets(Vec<u8>),
    /// NULL.
    Null,
    /// OBJECT IDENTIFIER.
    Oid(Oid),
    /// `IpAddress`.
    Address([u8; 4]),
    /// Counter32.
    Counter32(u32),
    /// Gauge32, Unsigned32.
    Gauge32(u32),
    /// `TimeTicks`, in hundredths of a second.
    TimeTicks(u32),
    /// Counter64.
    Counter64(u64),
    /// Opaque.
    Opaque(Vec<u8>),
    /// There is no such object.
    NoSuchObject,
    /// The object has no such instance.
    NoSuchInstance,
    /// Nothing comes after it.
    EndOfMibView,
}

/// An object and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VarBind {
    /// The object.
    pub name: Oid,
    /// Its value.
    pub value: Value,
}

/// Where to look for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The first object.
    pub start: Oid,
    /// Does it count itself?
    pub include: bool,
    /// The first object that is too far; empty is no limit.
    pub end: Oid,
}

/// What a packet says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Opens a session.
    Open {
        /// Seconds the master waits for us; 0 is its default.
        timeout: u8,
        /// Who we are.
        id: Oid,
        /// The same for people.
        description: String,
    },
    /// Ends a session.
    Close {
        /// Why: 5 is shutdown.
        reason: u8,
    },
    /// We answer for this subtree.
    Register {
        /// Of two, the smaller wins; 127 is usual.
        priority: u8,
        /// Where it begins.
        subtree: Oid,
    },
    /// We no longer do.
    Unregister {
        /// As registered.
        priority: u8,
        /// As registered.
        subtree: Oid,
    },
    /// The values of these.
    Get(Vec<Range>),
    /// The objects behind these.
    GetNext(Vec<Range>),
    /// Many objects behind these.
    GetBulk {
        /// As many of the first get one answer.
        non_repeaters: u16,
        /// The others get at most so many.
        max_repetitions: u16,
        /// Behind what.
        ranges: Vec<Range>,
    },
    /// Could these be set?
    TestSet(Vec<VarBind>),
    /// Set them.
    CommitSet,
    /// Set them back.
    UndoSet,
    /// It is over.
    CleanupSet,
    /// A notification.
    Notify(Vec<VarBind>),
    /// Are you there?
    Ping,
    /// An answer.
    Response {
        /// Hundredths of a second the master is up; ours is not looked at.
        uptime: u32,
        /// 0, or what is wrong (RFC 2741 §6.2.16).
        error: u16,
        /// Which variable is, from 1.
        index: u16,
        /// The values.
        values: Vec<VarBind>,
    },
    /// Of a kind we have no use for.
    Other(u8),
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The master's number of our session; 0 before it gave one.
    pub session: u32,
    /// Belongs together with others.
    pub transaction: u32,
    /// A response bears the number of what it answers.
    pub id: u32,
    /// What it says.
    pub body: Body,
}

impl Body {
    fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } => 1,
            Self::Close { .. } => 2,
            Self::Register { .. } => 3,
            Self::Unregister { .. } => 4,
            Self::Get(_) => 5,
            Self::GetNext(_) => 6,
            Self::GetBulk { .. } => 7,
            Self::TestSet(_) => 8,
            Self::CommitSet => 9,
            Self::UndoSet => 10,
            Self::CleanupSet => 11,
            Self::Notify(_) => 12,
            Self::Ping => 13,
            Self::Response { .. } => 18,
            Self::Other(kind) => *kind,
        }
    }
}

impl Packet {
    /// How many bytes the packet has whose header this is.
    pub fn length(header: &[u8; HEADER]) -> Result<usize, DecodeError> {
        if header[0] != 1 {
            return Err(DecodeError::Version(header[0]));
        }
        let length = order(header[2])([header[16], header[17], header[18], header[19]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LIMIT || length % 4 != 0 {
            return Err(DecodeError::Length(length));
        }
        Ok(HEADER + length)
    }

    /// Reads one whole packet; what follows it is not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let header: &[u8; HEADER] = bytes.first_chunk().ok_or(DecodeError::Cut)?;
        let payload = bytes.get(HEADER..Self::length(header)?).ok_or(DecodeError::Cut)?;
        let flags = header[2];
        let mut reader = Reader { rest: payload, order: order(flags) };
        let mut head = Reader { rest: &header[4..16], order: order(flags) };
        let (session, transaction, id) = (head.u32()?, head.u32()?, head.u32()?);
        let kind = header[1];
        let has_context = matches!(kind, 3..=8 | 12..=17);
        if has_context && flags & NON_DEFAULT_CONTEXT != 0 {
            reader.octets()?;
        }
        let body = match kind {
            1 => {
                let [timeout, ..] = reader.bytes::<4>()?;
                let (id, _) = reader.oid()?;
                let description = String::from_utf8_lossy(reader.octets()?).into_owned();
                Body::Open { timeout, id, description }
            }
            2 => Body::Close { reason: reader.bytes::<4>()?[0] },
            3 | 4 => {
                let [_, priority, ..] = reader.bytes::<4>()?;
                let (subtree, _) = reader.oid()?;
                if kind == 3 {
                    Body::Register { priority, subtree }
                } else {
                    Body::Unregister { priority, subtree }
                }
            }
            5 => Body::Get(reader.ranges()?),
            6 => Body::GetNext(reader.ranges()?),
            7 => {
                let (non_repeaters, max_repetitions) = reader.two_u16()?;
                Body::GetBulk { non_repeaters, max_repetitions, ranges: reader.ranges()? }
            }
            8 => Body::TestSet(reader.values()?),
            9 => Body::CommitSet,
            10 => Body::UndoSet,
            11 => Body::CleanupSet,
            12 => Body::Notify(reader.values()?),
            13 => Body::Ping,
            18 => {
                let uptime = reader.u32()?;
                let (error, index) = reader.two_u16()?;
                Body::Response { uptime, error, index, values: reader.values()? }
            }
            other => Body::Other(other),
        };
        Ok(Self { session, transaction, id, body })
    }

    /// As bytes, in network byte order.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![1, self.body.kind(), NETWORK_BYTE_ORDER, 0];
        for number in [self.session, self.transaction, self.id, 0] {
            out.extend(number.to_be_bytes());
        }
        match &self.body {
            Body::Open { timeout, id, description } => {
                out.extend([*timeout, 0, 0, 0]);
                put_oid(&mut out, id, false);
                put_octets(&mut out, description.as_bytes());
            }
            Body::Close { reason } => out.extend([*reason, 0, 0, 0]),
            Body::Register { priority, subtree } | Body::Unregister { priority, subtree } => {
                out.extend([0, *priority, 0, 0]);
                put_oid(&mut out, subtree, false);
            }
            Body::Get(ranges) | Body::GetNext(ranges) => put_ranges(&mut out, ranges),
            Body::GetBulk { non_repeaters, max_repetitions, ranges } => {
                out.extend(non_repeaters.to_be_bytes());
                out.extend(max_repetitions.to_be_bytes());
                put_ranges(&mut out, ranges);
            }
            Body::TestSet(values) | Body::Notify(values) => put_values(&mut out, values),
            Body::Response { uptime, error, index, values } => {
                out.extend(uptime.to_be_bytes());
                out.extend(error.to_be_bytes());
                out.extend(index.to_be_bytes());
                put_values(&mut out, values);
            }
            Body::CommitSet | Body::UndoSet | Body::CleanupSet | Body::Ping | Body::Other(_) => {}
        }
        let length = u32::try_from(out.len() - HEADER).unwrap_or(u32::MAX);
        out[16..HEADER].copy_from_slice(&length.to_be_bytes());
        out
    }
}

/// How four bytes are a number.
type Order = fn([u8; 4]) -> u32;

fn order(flags: u8) -> Order {
    if flags & NETWORK_BYTE_ORDER == 0 { u32::from_le_bytes } else { u32::from_be_bytes }
}

struct Reader<'a> {
    rest: &'a [u8],
    order: Order,
}

impl<'a> Reader<'a> {
    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Cut)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok((self.order)(self.bytes()?))
    }

    /// Two numbers of two bytes.
    fn two_u16(&mut self) -> Result<(u16, u16), DecodeError> {
        let [a, b, c, d] = self.bytes()?;
        // The same order as numbers of four bytes, of which only the lower half is used.
        let is_network = (self.order)([0, 0, 0, 1]) == 1;
        let one = |high, low| if is_network { [high, low] } else { [low, high] };
        Ok((u16::from_be_bytes(one(a, b)), u16::from_be_bytes(one(c, d))))
    }

    fn u64(&mut self) -> Result<u64, DecodeError> {
        let (first, second) = (u64::from(self.u32()?), u64::from(self.u32()?));
        let is_network = (self.order)([0, 0, 0, 1]) == 1;
        Ok(if is_network { first << 32 | second } else { second << 32 | first })
    }

    fn octets(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.u32()?).map_err(|_| DecodeError::Cut)?;
        let octets = self.rest.get(..length).ok_or(DecodeError::Cut)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).ok_or(DecodeError::Cut)?;
        Ok(octets)
    }

    /// An object identifier and its `include` byte.
    fn oid(&mut self) -> Result<(Oid, bool), DecodeError> {
        let [count, prefix, include, _] = self.bytes()?;
        if usize::from(count) > LONGEST {
            return Err(DecodeError::Oid(usize::from(count)));
        }
        let mut oid = if prefix == 0 { Vec::new() } else { vec![1, 3, 6, 1, u32::from(prefix)] };
        for _ in 0..count {
            oid.push(self.u32()?);
        }
        Ok((oid, include != 0))
    }

    fn ranges(&mut self) -> Result<Vec<Range>, DecodeError> {
        let mut ranges = Vec::new();
        while !self.rest.is_empty() {
            let (start, include) = self.oid()?;
            let (end, _) = self.oid()?;
            ranges.push(Range { start, include, end });
        }
        Ok(ranges)
    }

    fn values(&mut self) -> Result<Vec<VarBind>, DecodeError> {
        let mut values = Vec::new();
        while !self.rest.is_empty() {
            let (kind, _) = self.two_u16()?;
            let (name, _) = self.oid()?;
            let value = match kind {
                2 => Value::Integer(self.u32()?.cast_signed()),
                4 => Value::Octets(self.octets()?.to_vec()),
                5 => Value::Null,
                6 => Value::Oid(self.oid()?.0),
                64 => Value::Address(self.octets()?.first_chunk().copied().ok_or(DecodeError::Cut)?),
                65 => Value::Counter32(self.u32()?),
                66 => Value::Gauge32(self.u32()?),
                67 => Value::TimeTicks(self.u32()?),
                68 => Value::Opaque(self.octets()?.to_vec()),
                70 => Value::Counter64(self.u64()?),
                128 => Value::NoSuchObject,
                129 => Value::NoSuchInstance,
                130 => Value::EndOfMibView,
                other => return Err(DecodeError::Value(other)),
            };
            values.push(VarBind { name, value });
        }
        Ok(values)
    }
}

fn put_oid(out: &mut Vec<u8>, oid: &[u32], include: bool) {
    let oid = &oid[..oid.len().min(LONGEST)];
    let prefixed = match oid {
        [1, 3, 6, 1, prefix, rest @ ..] => {
            u8::try_from(*prefix).ok().filter(|it| *it != 0).map(|it| (it, rest))
        }
        _ => None,
    };
    let (prefix, rest) = prefixed.unwrap_or((0, oid));
    // At most LONGEST.
    let count = u8::try_from(rest.len()).unwrap_or(u8::MAX);
    out.extend([count, prefix, u8::from(include), 0]);
    for number in rest {
        out.extend(number.to_be_bytes());
    }
}

fn put_octets(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend(u32::try_from(octets.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(octets);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn put_ranges(out: &mut Vec<u8>, ranges: &[Range]) {
    for Range { start, include, end } in ranges {
        put_oid(out, start, *include);
        put_oid(out, end, false);
    }
}

fn put_values(out: &mut Vec<u8>, values: &[VarBind]) {
    for VarBind { name, value } in values {
        let kind: u16 = match value {
            Value::Integer(_) => 2,
            Value::Octets(_) => 4,
            Value::Null => 5,
            Value::Oid(_) => 6,
            Value::Address(_) => 64,
            Value::Counter32(_) => 65,
            Value::Gauge32(_) => 66,
            Value::TimeTicks(_) => 67,
            Value::Opaque(_) => 68,
            Value::Counter64(_) => 70,
            Value::NoSuchObject => 128,
            Value::NoSuchInstance => 129,
            Value::EndOfMibView => 130,
        };
        out.extend(kind.to_be_bytes());
        out.extend([0, 0]);
        put_oid(out, name, false);
        match value {
            Value::Integer(number) => out.extend(number.to_be_bytes()),
            Value::Octets(octets) | Value::Opaque(octets) => put_octets(out, octets),
            Value::Oid(oid) => put_oid(out, oid, false),
            Value::Address(address) => put_octets(out, address),
            Value::Counter32(number) | Value::Gauge32(number) | Value::TimeTicks(number) => {
                out.extend(number.to_be_bytes());
            }
            Value::Counter64(number) => out.extend(number.to_be_bytes()),
            Value::Null | Value::NoSuchObject | Value::NoSuchInstance | Value::EndOfMibView => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_get_of_a_little_endian_master_is_read() {
        let mut bytes = vec![1, 5, 0, 0];
        for number in [7_u32, 8, 9, 24] {
            bytes.extend(number.to_le_bytes());
        }
        // 1.3.6.1.4.1.9586, included; no end.
        bytes.extend([2, 4, 1, 0, 1, 0, 0, 0, 0x72, 0x25, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0; 8]);
        let packet = Packet::decode(&bytes).unwrap();
        let start = vec![1, 3, 6, 1, 4, 1, 9586];
        let none = || Range { start: vec![], include: false, end: vec![] };
        let ranges = vec![Range { start, include: true, end: vec![] }, none()];
        assert_eq!(packet, Packet { session: 7, transaction: 8, id: 9, body: Body::Get(ranges) });
    }

    #[test]
    fn a_response_has_the_bytes_of_the_rfc() {
        let values = vec![VarBind { name: vec![1, 3, 6, 1, 2, 1, 68], value: Value::Octets(b"ab".to_vec()) }];
        let body = Body::Response { uptime: 0, error: 0, index: 0, values };
        let bytes = Packet { session: 1, transaction: 2, id: 3, body }.encode();
        let expected = [
            [1, 18, 0x10, 0],
            [0, 0, 0, 1],
            [0, 0, 0, 2],
            [0, 0, 0, 3],
            [0, 0, 0, 32],
            [0, 0, 0, 0],
            [0, 0, 0, 0],
            [0, 4, 0, 0],
            [2, 2, 0, 0],
            [0, 0, 0, 1],
            [0, 0, 0, 68],
            [0, 0, 0, 2],
            [b'a', b'b', 0, 0],
        ];
        assert_eq!(bytes, expected.concat());
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i32>().prop_map(Value::Integer),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Octets),
            prop::collection::vec(any::<u32>(), 0..9).prop_map(Value::Oid),
            any::<[u8; 4]>().prop_map(Value::Address),
            any::<u32>().prop_map(Value::Gauge32),
            any::<u64>().prop_map(Value::Counter64),
            Just(Value::EndOfMibView),
        ]
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(names in prop::collection::vec((prop::collection::vec(any::<u32>(), 0..12), value()), 0..5)) {
            let values: Vec<_> = names.into_iter().map(|(name, value)| VarBind { name, value }).collect();
            let packet = Packet { session: 1, transaction: 2, id: 3, body: Body::TestSet(values) };
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::decode(&bytes);
            let mut framed = vec![1, 5 + bytes.first().unwrap_or(&0) % 4, bytes.get(1).unwrap_or(&0) & 0x18, 0];
            framed.extend([0; 12]);
            let whole = bytes.len() / 4 * 4;
            let length = u32::try_from(whole).unwrap();
            framed.extend(if framed[2] & 0x10 == 0 { length.to_le_bytes() } else { length.to_be_bytes() });
            framed.extend(&bytes[..whole]);
            let _ = Packet::decode(&framed);
        }
    }
}
