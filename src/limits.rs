//! Every bound of the server. The raw values of a board stand in `targets/boards/*.toml`; what follows from
//! them stands here, each with its reason, and the invariants between them are checked when this is compiled.
//!
//! This module knows no operating system and no other module. What the bounds cost in memory is summed up in
//! [`crate::budget`].

include!(concat!(env!("OUT_DIR"), "/board.rs"));

/// The longest decimal number that is ever written: `u64::MAX`.
pub const NUMBER_BYTES_MAX: usize = 20;

/// The longest nick, in bytes; from the protocol.
pub const NICK_BYTES_MAX: usize = 16;

/// The longest FROM: `[IPv6%SCOPE]:PORT` with every field at its widest. A nick is shorter.
pub const FROM_BYTES_MAX: usize = "[".len() + 39 + "%".len() + 10 + "]:".len() + 5;

/// The longest command word with the space behind it: a text of full length fits after any of them.
pub const COMMAND_PREFIX_BYTES_MAX: usize = "/urgent ".len();

/// The longest line that is looked at, without its LF and the CR before it. A longer one is too long,
/// whatever it says, and is dropped as it comes in.
pub const LINE_BYTES_MAX: usize = COMMAND_PREFIX_BYTES_MAX + TEXT_BYTES;

/// A text at its longest once it is escaped: every byte as `\xNN`.
pub const ESCAPED_BYTES_MAX: usize = 4 * TEXT_BYTES;

/// The longest `MSG` line with its LF.
pub const MSG_BYTES_MAX: usize = "MSG ".len()
    + NUMBER_BYTES_MAX
    + " p9 ".len()
    + FROM_BYTES_MAX
    + " ".len()
    + ESCAPED_BYTES_MAX
    + "\n".len();

/// The longest closing reply (`ACK`, `NAK`, `OK`, `ERR`) with its LF. Each slot of a client has that much
/// kept free for it in the outbox, so a reply never has to wait for room. Long enough for an `ERR` with a
/// number of [`NUMBER_BYTES_MAX`], its reason, and a few words on what to do.
pub const REPLY_BYTES_MAX: usize = 80;

/// The longest line of a longer answer (`WHO`, `STAT`, `HELP`) with its LF.
pub const ANSWER_LINE_BYTES_MAX: usize = 120;

/// The part of an outbox that closing replies have for themselves: MSG lines and answers leave it free.
pub const REPLY_ROOM_BYTES: usize = IN_FLIGHT * REPLY_BYTES_MAX;

/// The capacity of the queue: the slots of all clients together, so that it cannot overflow.
pub const QUEUE_MAX: usize = CLIENTS * IN_FLIGHT;

/// What one `send` takes from an outbox at most. It is copied to the sender's stack, so that no lock is held
/// while the system sends.
pub const SEND_BYTES_MAX: usize = 4096;

/// Sends for one client each time it is polled, before others are.
pub const SENDS_PER_POLL_MAX: usize = 4;

/// How often a thread runs the pipeline in one call, each time for a batch or with a journal for a group. Then a worker polls its own
/// connections before it calls again.
pub const PIPELINE_RUNS_MAX: usize = 2;

/// Messages for which a worker runs the pipeline while other connections of it still wait to be polled: half a batch, so that the first
/// have their ACKs while the lines of others are received. Fewer are processed after all connections were polled.
pub const PIPELINE_MESSAGES_MIN: usize = BATCH.div_ceil(2);

/// How long a commit to the journal may take, on average, for workers to run the pipeline, in microseconds: several times what it costs to
/// wake another thread. Above it, their other clients would notice that the worker waits for the disk.
pub const PIPELINE_SYNC_US_MAX: u64 = 1_000;

/// With a journal, workers run the pipeline as long as no more than one in this many groups has messages of several clients. A quarter: with
/// a thread for each of 32 clients there are so few only if the clients send little.
pub const PIPELINE_SHARED_GROUPS_DIVISOR: u32 = 4;

/// The slice that a worker asks the scheduler for once it has urgent messages, in nanoseconds: the shortest there is.
pub const SLICE_URGENT_NS: u64 = 100_000;

/// Words of a bitmap with one bit a client.
pub const CLIENT_WORDS: usize = CLIENTS.div_ceil(32);

/// What the kernel may hold for one connection in each direction, in bytes. Without this bound Linux lets
/// a connection that does not read grow to megabytes; the kernel itself doubles it for its own books.
pub const SOCKET_BUFFER_BYTES: usize = 64 * 1024;

/// The same for what comes from a client that has to read before more of it is received; besides it may take as much more as the kernel
/// had let it send before: see [`socket::raise_receive_buffer`](crate::net::socket::raise_receive_buffer). A quarter, so that it is let send a little.
pub const RAISED_RECEIVE_BUFFER_BYTES: usize = SOCKET_BUFFER_BYTES / 4 * 5;

/// When a silent connection is first probed, and how often then, in seconds; after so many probes without an answer it is broken.
///
/// A board that lost its power is noticed in 90 s, whatever was under way. Nothing was: that is the sum of these, 40 s after it was heard
/// last. Something was on its way to it: [`UNACKNOWLEDGED_MS_MAX`], 40 s after it was sent first. The worst is both: it is probed, and just
/// before the last probe something is sent, and while that is on its way the kernel does not probe; 80 s. The rest is for timers of the
/// kernel, which may be late by an eighth of their time, and for the first time that it sends again.
pub const KEEPALIVE_IDLE_S: u32 = 25;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_INTERVAL_S: u32 = 5;
/// See [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_PROBES: u32 = 3;

/// Probes or retransmissions without an answer after which a connection gives its place to a new one that needs it: a single one may be lost
/// on a radio link, or be on its way over a slow one.
pub const UNANSWERED_MIN: u8 = 2;

/// How long what was sent may stay without acknowledgement by the peer's kernel, in milliseconds. It also counts for one whose kernel
/// acknowledges and has no room, for it reads nothing; so where `--write-timeout` is longer, this is that, one
/// of the [`WRITE_CHECKS`] and [`WRITE_MARGIN_MS`]. With that time-out off it is the system's own, a quarter of an hour.
pub const UNACKNOWLEDGED_MS_MAX: u32 = 40_000;

/// How often within the write time-out it is looked whether a client that takes nothing reads all the same.
pub const WRITE_CHECKS: u64 = 8;

/// How much later than the write time-out, and one of the [`WRITE_CHECKS`] within it, the kernel ends a connection, in milliseconds: so it
/// is told why.
pub const WRITE_MARGIN_MS: u32 = 5_000;

/// Receives from a connection that is being closed each time it is polled; the bytes are discarded.
pub const DISCARDS_PER_POLL_MAX: usize = 8;

/// What one wait of a worker may report, at most; what is left is reported by the next.
pub const EVENTS_MAX: usize = 64;

/// The lines of one batch, in bytes.
pub const BATCH_BYTES_MAX: usize = BATCH * MSG_BYTES_MAX;

/// Connections accepted in a row, before signals and other work are looked at.
pub const ACCEPTS_PER_POLL_MAX: usize = 16;

/// The time kept of the drain time-out for last words, in milliseconds, but a quarter of it at most: what could not be processed by then
/// is refused, told so, and sent. Half a second was too short on a board with twenty processes that wanted its two processors.
pub const LAST_WORDS_MS: u64 = 2_000;

/// How long a client may take in all, in milliseconds, when the server ends and the client has all its replies: to read the messages of
/// others that are left, and the last line. The kernel still sends what it has taken by then.
pub const SHUTDOWN_REST_MS_MAX: u64 = 500;

/// Files of the journal. Two would do; with eight, no more than an eighth of the history goes when the oldest is used again.
pub const JOURNAL_SEGMENTS: usize = 8;

/// What a disk is written in, in bytes: the system's pages.
pub const PAGE_BYTES: usize = 4096;

/// What each of them has for its header, in bytes: a page, so that nobody writes to it again.
pub const SEGMENT_HEADER_BYTES: usize = PAGE_BYTES;

/// What each of them has at its end for what it says of IDs that were given, in bytes: two pages that take turns.
pub const SEGMENT_MARKS_BYTES: usize = 2 * PAGE_BYTES;

/// `--journal-size`, unless set, in bytes.
pub const JOURNAL_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// The smallest `--journal-size`, in bytes: a segment has to hold more than one batch of the longest messages.
pub const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;

/// The largest `--journal-size`, in bytes: a segment's offsets are 32 bits, and file offsets are on some boards.
pub const JOURNAL_BYTES_MAX: u64 = JOURNAL_SEGMENTS as u64 * 1024 * 1024 * 1024;

/// Batches that are committed to the journal together at most: as many messages as a sync may cover that was asked for while
/// the one before it was under way.
pub const JOURNAL_BATCHES_MAX: usize = 16;

/// Groups of batches that are under way: one that is being committed, and one that is being delivered.
pub const GROUPS: usize = 2;

/// How often it is tried to go on with a journal whose disk failed, in milliseconds.
pub const JOURNAL_RETRY_MS: u64 = 1_000;

/// What is read of the journal for one client, before others are served, in bytes.
pub const REPLAY_BYTES_PER_POLL: u32 = 2 * JOURNAL_READ_BYTES as u32;

/// The room in an outbox with which it is worth while to read on for its client, in bytes: for the longest line, and one that
/// tells what was lost.
pub const REPLAY_ROOM_BYTES: usize = MSG_BYTES_MAX + ANSWER_LINE_BYTES_MAX;

/// How long the replay thread waits at most to be told of a segment that the writer has just begun to use again, in milliseconds: longer
/// than a healthy disk syncs. Then it looks again.
pub const ROTATION_MS_MAX: u64 = 1_000;

/// The stack of the replay thread, in bytes: it reads and copies, and calls no one deep.
pub const REPLAY_STACK_BYTES: usize = 64 * 1024;

/// `--sync-interval`, unless set, in milliseconds.
pub const SYNC_INTERVAL_MS_DEFAULT: u64 = 1_000;

/// The shortest `--sync-interval`, in milliseconds: what an SD card takes for a sync.
pub const SYNC_INTERVAL_MS_MIN: u64 = 10;

/// The longest `--sync-interval`, in milliseconds: an hour. For more there is `--sync none`.
pub const SYNC_INTERVAL_MS_MAX: u64 = 60 * 60 * 1_000;

/// What stands before FROM and text in a record of the journal, in bytes.
pub const RECORD_HEADER_BYTES: usize = 28;

/// The longest record without its padding, in bytes.
pub const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + FROM_BYTES_MAX + TEXT_BYTES;

/// The records of one batch, in bytes: what one write to the journal takes at most.
pub const JOURNAL_BATCH_BYTES: usize = BATCH * RECORD_BYTES_MAX.next_multiple_of(8);

/// How slowly a disk may make or read the journal at the start, in bytes a second: a slow SD card that has other things to do. The
/// service manager is asked for as much time as that takes.
pub const JOURNAL_OPENING_BYTES_A_SECOND: u64 = 2 * 1024 * 1024;

/// What one read of the journal takes, in bytes.
pub const JOURNAL_READ_BYTES: usize = 32 * 1024;

/// What is read of the journal at a place to find a record near it, in bytes: wherever that is, a whole one begins in it and ends in it.
pub const JOURNAL_PROBE_BYTES: usize = 2 * RECORD_BYTES_MAX.next_multiple_of(8);

/// The stretches into which a segment is divided where its end is looked for, in bytes: there is a look into each, and only the last
/// one that holds something is read, with what may follow it. No more than a stretch is written without a sync, whatever `--sync`
/// says, so that it is known how far the system may have gone ahead when the power failed. A segment of the default size is read
/// whole; one of the largest takes 127 looks, and three times as much reading.
pub const JOURNAL_STRETCH_BYTES: u32 = 8 * 1024 * 1024;

/// How often a call to the disk is made again that a signal interrupts: a disk that does nothing but that has failed.
pub const JOURNAL_INTERRUPTIONS_MAX: usize = 100;

/// How long a reader of a journal that another process writes to waits before it looks for more, in milliseconds: short for a person, and
/// little work.
pub const JOURNAL_POLL_MS: u16 = 200;

/// How often a reader of a journal that another process writes to reads all headers until they are those of one moment. They are not if the
/// writer rotated during that: a rotation takes a sync, and the 16 reads take a fraction of one.
pub const JOURNAL_SNAPSHOT_READS_MAX: usize = 1_000;

/// What is read of a directory at a time, in bytes, where it is looked for what does not belong there: the system gives some dozen names
/// in it, and needs room for the longest one, of 255 bytes, and its number.
pub const JOURNAL_LISTING_BYTES: usize = 2_048;

/// The ranges of missing IDs that a check of the journal lists; the rest of them it only counts.
pub const JOURNAL_GAPS_LISTED_MAX: usize = 20;

/// Listeners (`--listen`).
pub const LISTENERS_MAX: usize = 8;

/// The longest name of a network interface, in bytes: the kernel's own bound (IFNAMSIZ), without its NUL.
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// Networks that may connect (`--allow`): more than a site has, and few enough to look through for each connection.
pub const ALLOWED_MAX: usize = 32;

/// Networks of this machine's interfaces that `--allow local` lets in, of those that are not private anyway: an address of each kind for
/// more interfaces than a board has.
pub const INTERFACE_NETWORKS_MAX: usize = 32;

/// For how long they are used after they were read, in milliseconds: long enough not to read them for each connection, and short enough that
/// a client does not wait long after an address came or went.
pub const INTERFACE_NETWORKS_MS: u64 = 1_000;

/// The shortest prefix of an interface's IPv4 network that is taken for local: that of a large site. In a larger one there are others.
pub const INTERFACE_NETWORK_V4_PREFIX_MIN: u8 = 16;

/// The same of IPv6: that of one link, which is never longer where hosts choose their addresses (RFC 4291).
pub const INTERFACE_NETWORK_V6_PREFIX_MIN: u8 = 64;

/// What one read of addresses takes, in bytes: rtnetlink fills no more if it was asked with that much (netlink(7)).
pub const NETLINK_BYTES: usize = 8 * 1024;

/// Reads of addresses at a time: some thousands of them.
pub const NETLINK_READS_MAX: usize = 64;

/// The log tells of one address that is rejected or tries wrong tokens once in this time, for each reason, in milliseconds.
pub const LOG_THROTTLE_MS: u64 = 60_000;

/// Addresses that the log tells of in that time, of each kind. That there are more is logged once, without their names: a client with a whole
/// network to connect from must not fill the log.
pub const LOG_THROTTLE_ADDRESSES_MAX: usize = 32;

/// Names in the file of `--auth-file`: not all of them are connected at a time.
pub const TOKENS_MAX: usize = 2 * CLIENTS;

/// The shortest token, in bytes: not to be guessed at the rate at which it may be tried, if it is random.
pub const TOKEN_BYTES_MIN: usize = 16;

/// The longest token, in bytes: 256 random bits in hexadecimal digits.
pub const TOKEN_BYTES_MAX: usize = 64;

/// The longest line of that file, with its LF, if there are no more spaces than it takes.
pub const AUTH_LINE_BYTES_MAX: usize = NICK_BYTES_MAX + TOKEN_BYTES_MAX + "   9 no-join\n".len() - 1;

/// The file of `--auth-file`, in bytes: with as many names as there may be, a quarter of it is for comments.
pub const AUTH_FILE_BYTES_MAX: usize = TOKENS_MAX * AUTH_LINE_BYTES_MAX / 3 * 4;

/// How long a client may take to show its token where one is asked for, in milliseconds: enough for a person to paste it. A client
/// without a token does not keep a place from others.
pub const AUTHENTICATION_MS_MAX: u64 = 20_000;

/// Wrong tokens on a connection; the last one costs the connection.
pub const WRONG_TOKENS_MAX: u8 = 3;

/// How long after a wrong token no other one from that address is looked at, in milliseconds; and how long the answer to the first one
/// takes. To each further one it takes twice as long as to the one before.
pub const WRONG_TOKEN_MS: u64 = 1_000;

/// The longest that the answer to a wrong token takes, in milliseconds.
pub const WRONG_TOKEN_MS_MAX: u64 = 8_000;

/// How long an address must not have tried wrong tokens until that is forgotten, in milliseconds.
pub const WRONG_TOKEN_MEMORY_MS: u64 = 60_000;

/// Addresses of which wrong tokens are remembered. All further ones count as one address then.
pub const SUSPECTS_MAX: usize = 64;

/// Connections that the kernel completes before they are accepted.
pub const BACKLOG: i32 = 128;

/// Connections that were turned away and still have to hear why: kept until they close or
/// [`FAREWELL_MS_MAX`] is over. When they are more, the oldest goes first.
pub const REJECTED_MAX: usize = 16;

/// How long a closed connection may take to read its last line before it is dropped, in milliseconds.
/// Closing at once would reset it, and the client might never see the reason.
pub const FAREWELL_MS_MAX: u64 = 2_000;

/// Connections that wait for a place that an idle client was requested to give up. Any more at a time are rejected.
pub const PENDING_MAX: usize = 16;

/// Connections that wait for a place of their own address, which has as many as it may: so that an address leaves room for others.
pub const PENDING_PER_ADDRESS_MAX: usize = PENDING_MAX / 4;

/// How long one of them waits at most, in milliseconds: as long as an evicted client may take, and some more.
pub const PENDING_MS_MAX: u64 = FAREWELL_MS_MAX + 1_000;

/// The pause after `accept` failed for want of descriptors or memory, in milliseconds; and the first one after another failure that is not
/// about one connection, each further one being twice as long.
pub const ACCEPT_RETRY_MS: u64 = 200;

/// The longest of those pauses, in milliseconds: a socket that never works again costs nothing, and one that does is soon used.
pub const ACCEPT_RETRY_MS_MAX: u64 = 5_000;

/// Failures in a row that are about one connection each, and cost no pause: as many as connections are accepted in a row.
pub const ACCEPT_FAILURES_MAX: u32 = ACCEPTS_PER_POLL_MAX as u32;

/// How long the log may take to be written out at the end, in milliseconds: a stuck terminal must not keep
/// the server from ending.
pub const LOG_DRAIN_MS_MAX: u64 = 1_000;

/// The longest timed sleep, in seconds: what the clock of a 32-bit kernel holds, 68 years. A longer one has
/// no end.
pub const SLEEP_SECONDS_MAX: u64 = i32::MAX as u64;

/// The text of one log record, in bytes; a longer one is cut, and shows it.
pub const LOG_TEXT_BYTES_MAX: usize = 240;

/// The part of that which module and line may take where they are shown, in bytes.
pub const LOG_ORIGIN_BYTES_MAX: usize = 80;

/// The longest log line with its LF: date, level, text. Seconds and microseconds from nanoseconds of 64 bits are shorter than a date.
pub const LOG_LINE_BYTES_MAX: usize =
    "2026-11-28T16:41:31.123Z ".len() + "ERROR ".len() + LOG_TEXT_BYTES_MAX + "\n".len();

/// By how much the wall clock must be set for a log file to tell, in milliseconds: less does not confuse a reader who looks for a line by its
/// date, and is how much a clock is corrected by now and then.
pub const LOG_DATE_JUMP_MS: u64 = 1_000;

/// What the log writer writes at a time at most, in bytes: one page, so that a burst of records costs an SD
/// card few writes.
pub const LOG_BATCH_BYTES: usize = 4096;

/// The pause after the log file could not be opened, in milliseconds.
pub const LOG_REOPEN_MS: u64 = 1_000;

/// The longest line on standard error about trouble with the log file, in bytes: descriptions of errors have
/// about 50.
pub const LOG_COMPLAINT_BYTES_MAX: usize = 160;

/// The smallest `--log-size`, in bytes: less would hold no more than what a start says.
pub const LOG_FILE_BYTES_MIN: u64 = 16 * 1024;

/// The stack of the consumer where it has a thread of its own, in bytes: it formats and copies, and calls no one deep.
pub const CONSUMER_STACK_BYTES: usize = 64 * 1024;

/// The stack of the delivery where it has a thread of its own, in bytes: as the consumer's.
pub const DELIVERY_STACK_BYTES: usize = CONSUMER_STACK_BYTES;

/// The stack of the log writer, in bytes.
pub const LOGGER_STACK_BYTES: usize = 64 * 1024;

/// The port, unless `--listen` says otherwise; from the protocol.
pub const PORT_DEFAULT: u16 = 9090;

/// The highest `--realtime`: above it are only the kernel's own threads, which move others between processors.
pub const REALTIME_PRIORITY_MAX: u32 = 98;

/// The longest `--aging`, in milliseconds: a day for one step of priority is as good as none.
pub const AGING_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The shortest of all time-outs, in milliseconds: less would close healthy clients on a radio link.
pub const TIMEOUT_MS_MIN: u64 = 100;

/// `--idle-timeout`, unless set, in milliseconds: an hour, longer than a device that reports sleeps.
pub const IDLE_TIMEOUT_MS_DEFAULT: u64 = 60 * 60 * 1_000;

/// The longest `--idle-timeout`, in milliseconds: a year. For more there is `off`.
pub const IDLE_TIMEOUT_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;

/// `--write-timeout`, unless set, in milliseconds: outlasts a lost radio link that comes back.
pub const WRITE_TIMEOUT_MS_DEFAULT: u64 = 30 * 1_000;

/// The longest `--write-timeout`, in milliseconds: an hour. For more there is `off`.
pub const WRITE_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--line-timeout`, unless set, in milliseconds: outlasts a radio link that is lost and comes back. A person who thinks while typing
/// sends whole lines, and is not concerned.
pub const LINE_TIMEOUT_MS_DEFAULT: u64 = 30 * 1_000;

/// What one key sends at most, in bytes: a character of UTF-8. A program that sends each key by itself, as telnet of Windows does, is known
/// by receives of no more than that which end no line.
pub const KEY_BYTES_MAX: usize = 4;

/// This many of them in a row mean that a person types: a single one may be the beginning of a line that came in two parts.
pub const TYPIST_KEYS_MIN: u8 = 2;

/// How many times `--line-timeout` a typed line may take if each key comes within one `--line-timeout` of the key before.
pub const TYPED_LINE_TIMEOUTS: u64 = 10;

/// The longest `--line-timeout`, in milliseconds: an hour. For more there is `off`.
pub const LINE_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--idle-grace`, unless set, in milliseconds: a client that reports each minute keeps its place.
pub const IDLE_GRACE_MS_DEFAULT: u64 = 60 * 1_000;

/// The longest `--idle-grace`, in milliseconds: a day. For more there is `off`.
pub const IDLE_GRACE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// `--per-address`, unless set: a quarter of the usual board, so that one host cannot keep others out. A small board has no more
/// places than that.
pub const PER_ADDRESS_DEFAULT: usize = if CLIENTS < 16 { CLIENTS } else { 16 };

/// The highest `--rate`, in lines a second: more than a board of this kind takes from all clients together.
pub const RATE_MAX: usize = 1_000_000;

/// Lines that a client under `--rate` may send at once: as many as come in that time, in milliseconds.
pub const RATE_BURST_MS: u64 = 1_000;

/// The highest `--urgent-rate`, in messages a minute: a thousand a second are no alarm.
pub const URGENT_RATE_MAX: usize = 60_000;

/// How long a client under `--rate` that was too fast is left alone at least, in milliseconds; then it may send what it could have sent
/// meanwhile. To come back for each line would keep the processor busy with waiting.
pub const RATE_PAUSE_MS: u64 = 10;

/// Urgent messages that a client under `--urgent-rate` may send at once: as many as come in that time, in milliseconds; so a minute's
/// worth, for an alarm seldom comes alone.
pub const URGENT_BURST_MS: u64 = 60_000;

/// `--drain-timeout`, unless set, in milliseconds; from the protocol.
pub const DRAIN_TIMEOUT_MS_DEFAULT: u64 = 5 * 1_000;

/// The longest `--drain-timeout`, in milliseconds: an hour. It can't be off, for the end is promised.
pub const DRAIN_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--log-size`, unless set, in bytes.
pub const LOG_FILE_BYTES_DEFAULT: u64 = 1024 * 1024;

/// The largest `--log-size`, in bytes: a file offset of 32 bits can still address it.
pub const LOG_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The longest datagram to the service manager, in bytes: a few words on how it goes.
pub const SERVICE_DATAGRAM_BYTES_MAX: usize = 160;

/// Bits of a value's leading part that a histogram tells apart: each doubling has 2^4 buckets, so a value is
/// known to 1/16 of itself.
pub const HISTOGRAM_PRECISION_BITS: u32 = 4;

/// Bits of the largest value that a histogram tells apart: 2^42 ns is 73 minutes, longer than anything waits
/// on a server that works.
pub const HISTOGRAM_VALUE_BITS: u32 = 42;

/// The largest value that a histogram tells apart, in nanoseconds; what is above counts as this.
pub const HISTOGRAM_VALUE_NS_MAX: u64 = (1 << HISTOGRAM_VALUE_BITS) - 1;

/// The buckets of a histogram: as many for the smallest values, one a limiter, as for each doubling after them.
pub const HISTOGRAM_BUCKETS: usize =
    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_PRECISION_BITS + 1) as usize) << HISTOGRAM_PRECISION_BITS;

/// A histogram in memory, in bytes: its buckets, how many values, and the largest.
pub const HISTOGRAM_BYTES: usize = (HISTOGRAM_BUCKETS + 2) * size_of::<u64>();

/// The longest known name that a misspelt one is compared with, in bytes: of an option without its dashes, or of a command.
pub const NAME_BYTES_MAX: usize = 32;

/// What a line about a wrong option shows of the value that was given, in bytes before they are escaped.
pub const USAGE_GIVEN_BYTES_MAX: usize = 64;

/// Descriptors besides those of clients and workers: standard streams, listeners, signals, log files, rejected and pending connections, one
/// being accepted, one to the service manager, one that tells of interfaces, one that asks for their names, and the segments of the journal
/// with their directory, for the writer and for the replay, and once more while they are opened anew.
pub const DESCRIPTORS_OTHER: usize =
    3 + LISTENERS_MAX + REJECTED_MAX + PENDING_MAX + 10 + 4 * (JOURNAL_SEGMENTS + 1);

const _: () = {
    assert!(CLIENTS <= u16::MAX as usize, "a client's number is 16 bits of a handle");
    assert!(IN_FLIGHT <= 64, "no more is tested; the room for replies in an outbox grows with it");
    assert!(BATCH <= 64, "the protocol promises a batch of 64 at most");
    assert!(TIMEOUT_MS_MIN <= DRAIN_TIMEOUT_MS_DEFAULT && DRAIN_TIMEOUT_MS_DEFAULT <= DRAIN_TIMEOUT_MS_MAX);
    assert!(TIMEOUT_MS_MIN <= WRITE_TIMEOUT_MS_DEFAULT && WRITE_TIMEOUT_MS_DEFAULT <= WRITE_TIMEOUT_MS_MAX);
    assert!(ACCEPT_RETRY_MS <= ACCEPT_RETRY_MS_MAX);
    assert!(RATE_PAUSE_MS < RATE_BURST_MS, "a limiter holds what comes in a pause");
    assert!(TIMEOUT_MS_MIN <= LINE_TIMEOUT_MS_DEFAULT && LINE_TIMEOUT_MS_DEFAULT <= LINE_TIMEOUT_MS_MAX);
    assert!(TIMEOUT_MS_MIN <= IDLE_GRACE_MS_DEFAULT && IDLE_GRACE_MS_DEFAULT <= IDLE_GRACE_MS_MAX);
    assert!(TIMEOUT_MS_MIN <= IDLE_TIMEOUT_MS_DEFAULT && IDLE_TIMEOUT_MS_DEFAULT <= IDLE_TIMEOUT_MS_MAX);
    assert!(LOG_FILE_BYTES_MIN <= LOG_FILE_BYTES_DEFAULT && LOG_FILE_BYTES_DEFAULT <= LOG_FILE_BYTES_MAX);
    assert!(
        0 < HISTOGRAM_PRECISION_BITS && HISTOGRAM_PRECISION_BITS < HISTOGRAM_VALUE_BITS,
        "a histogram needs buckets to double"
    );
    assert!(
        HISTOGRAM_VALUE_BITS < u64::BITS,
        "a histogram's values are 64 bits, and their number is shifted"
    );
    let probed_ms = (KEEPALIVE_IDLE_S + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL_S) * 1_000;
    assert!(UNANSWERED_MIN as u32 <= KEEPALIVE_PROBES, "a connection that is unanswered is not over yet");
    assert!(probed_ms <= UNACKNOWLEDGED_MS_MAX, "the kernel counts probes for that long, if it is longer");
    assert!(
        (probed_ms + UNACKNOWLEDGED_MS_MAX) / 8 + probed_ms + UNACKNOWLEDGED_MS_MAX <= 90_000,
        "a board that lost its power is noticed in 90 s"
    );
    assert!(WORKERS <= CLIENTS, "a worker with no client to serve would only cost its stack");
    assert!(TEXT_BYTES <= u16::MAX as usize, "a text's length is 16 bits");
    assert!("/auth ".len() + TOKEN_BYTES_MAX <= LINE_BYTES_MAX, "a token fits a line");
    assert!(
        WRONG_TOKEN_MS <= WRONG_TOKEN_MS_MAX && WRONG_TOKEN_MS_MAX < AUTHENTICATION_MS_MAX,
        "a wrong token is answered before the time for it is over"
    );
    assert!(
        PER_ADDRESS_DEFAULT as u64 * WRONG_TOKEN_MS < AUTHENTICATION_MS_MAX,
        "who shares its address with others that try wrong tokens still has its turn"
    );
    assert!(RECEIVE_BYTES >= LINE_BYTES_MAX + "\r\n".len(), "a whole line must fit the receive buffer");
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + 2 * MSG_BYTES_MAX && REPLAY_ROOM_BYTES < 2 * MSG_BYTES_MAX,
        "an outbox needs its reply room and some lines for those who joined"
    );
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + ANSWER_LINE_BYTES_MAX,
        "an answer must find room line by line"
    );
    assert!(
        SEGMENT_HEADER_BYTES + JOURNAL_BATCH_BYTES + SEGMENT_MARKS_BYTES
            < JOURNAL_BYTES_MIN as usize / JOURNAL_SEGMENTS,
        "a segment holds a batch"
    );
    assert!(JOURNAL_READ_BYTES >= 2 * RECORD_BYTES_MAX, "a read holds a record wherever it begins");
    assert!(JOURNAL_READ_BYTES >= JOURNAL_PROBE_BYTES, "a probe has room where a read has");
    assert!(REPLAY_BYTES_PER_POLL as usize >= 32 * JOURNAL_PROBE_BYTES, "a binary search fits in a turn");
    assert!(
        JOURNAL_BYTES_MAX / JOURNAL_SEGMENTS as u64 / JOURNAL_STRETCH_BYTES as u64 <= 128,
        "a start takes few looks"
    );
    assert!(LOG_ORIGIN_BYTES_MAX < LOG_TEXT_BYTES_MAX / 2, "a log line is there for its text");
    assert!(
        LOG_BATCH_BYTES >= 4 * LOG_LINE_BYTES_MAX,
        "a batch holds a jump of the date, a loss of before, a loss and a record"
    );
    assert!(LOG_FILE_BYTES_MIN / 2 >= LOG_BATCH_BYTES as u64, "a batch must fit a log file");
    assert!(ANSWER_LINE_BYTES_MAX >= "WHO  p9 ".len() + FROM_BYTES_MAX + NUMBER_BYTES_MAX + "\n".len());
};
