//! Accepting connections, and rejecting them.

use super::FAREWELL_MS_MAX;

/// Calls of accept(2) in a row, before the acceptor checks signals and its other work.
pub const ACCEPTS_PER_POLL_MAX: usize = 16;

/// Listeners: those of `--listen`, and those that the service manager passes.
pub const LISTENERS_MAX: usize = 8;

/// The longest name of a network interface, in bytes: the kernel's own bound (IFNAMSIZ), without its NUL.
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// Networks that may connect (`--allow`): more than a site has, and few enough to search for each connection.
pub const ALLOWED_MAX: usize = 32;

/// Networks of this machine's interfaces that `--allow local` permits, not counting private ones: an address of each
/// family for more interfaces than a board has.
pub const INTERFACE_NETWORKS_MAX: usize = 32;

/// How long the server uses these networks before it reads them again, in milliseconds: long enough not to read them
/// for each connection, and short enough that a new address is soon known.
pub const INTERFACE_NETWORKS_MS: u64 = 1_000;

/// The shortest prefix of an interface's IPv4 network that counts as local: that of a large site. Strangers share
/// larger networks.
pub const INTERFACE_NETWORK_V4_PREFIX_MIN: u8 = 16;

/// The shortest prefix of an interface's IPv6 network that counts as local: that of one link. Where hosts choose their
/// own addresses, no link has a longer prefix (RFC 4291).
pub const INTERFACE_NETWORK_V6_PREFIX_MIN: u8 = 64;

/// The buffer for one read of addresses, in bytes: rtnetlink returns no more in one message (netlink(7)).
pub const NETLINK_BYTES: usize = 8 * 1024;

/// How many reads one listing of the addresses takes at most: enough for some thousands of them.
pub const NETLINK_READS_MAX: usize = 64;

/// Connections that the kernel completes before they are accepted.
pub const BACKLOG: i32 = 128;

/// Rejected connections that linger, so that their peers can read the reason, until they close or [`FAREWELL_MS_MAX`]
/// is over. If there are more, the oldest is closed first.
pub const REJECTED_MAX: usize = 16;

/// Connections that wait at the same time for the place of a client that is leaving. Further ones are rejected.
pub const PENDING_MAX: usize = 16;

/// Pending connections from one address that already has its share of places. The bound leaves room for other
/// addresses.
pub const PENDING_PER_ADDRESS_MAX: usize = PENDING_MAX / 4;

/// Pending connections from all addresses that already have their share of places. The bound leaves room for addresses
/// that have not: their connections wait only if all places are taken.
pub const PENDING_WITHOUT_SHARE_MAX: usize = PENDING_MAX / 2;

/// How long a pending connection waits at most, in milliseconds: as long as an evicted client may take, and some more.
pub const PENDING_MS_MAX: u64 = FAREWELL_MS_MAX + 1_000;

/// The pause after accept(2) has failed for lack of descriptors or memory, in milliseconds. It is also the first pause
/// after any other failure that does not concern only a single connection; each further pause is twice as long.
pub const ACCEPT_RETRY_MS: u64 = 200;

/// The longest of these pauses, in milliseconds: long enough that a listener that never works again costs next to
/// nothing, and short enough that one that works again is soon in use.
pub const ACCEPT_RETRY_MS_MAX: u64 = 5_000;

/// How many failures in a row cause no pause if each of them concerns only a single connection: as many as there are
/// calls of accept(2) in a row.
pub const ACCEPT_FAILURES_MAX: u32 = ACCEPTS_PER_POLL_MAX as u32;

/// The port, unless `--listen` says otherwise; from the protocol.
pub const PORT_DEFAULT: u16 = 9090;
