//! Every bound of the server. The values of a board are in `targets/boards/*.toml`. The bounds that follow from them
//! are here, each with its reason, and the compiler checks the invariants between them.
//!
//! This module knows no operating system and no other module. [`crate::budget`] sums up the memory that the bounds
//! need.

include!(concat!(env!("OUT_DIR"), "/board.rs"));

/// The longest decimal number, in bytes: `u64::MAX`.
pub const NUMBER_BYTES_MAX: usize = 20;

/// The longest nick, in bytes; from the protocol.
pub const NICK_BYTES_MAX: usize = 16;

/// The longest FROM, in bytes: `[IPv6%SCOPE]:PORT` with every field at its widest. A nick is shorter.
pub const FROM_BYTES_MAX: usize = "[".len() + 39 + "%".len() + 10 + "]:".len() + 5;

/// The longest command word with the space after it, in bytes: the longest text fits a line after any of these words.
pub const COMMAND_PREFIX_BYTES_MAX: usize = "/urgent ".len();

/// The longest line, in bytes, without its LF and the CR before it. The server drops the bytes of a longer line as
/// they arrive, whatever they are.
pub const LINE_BYTES_MAX: usize = COMMAND_PREFIX_BYTES_MAX + TEXT_BYTES;

/// The longest escaped text, in bytes: every byte as `\xNN`.
pub const ESCAPED_BYTES_MAX: usize = 4 * TEXT_BYTES;

/// The longest `MSG` line with its LF, in bytes.
pub const MSG_BYTES_MAX: usize = "MSG ".len()
    + NUMBER_BYTES_MAX
    + " p9 ".len()
    + FROM_BYTES_MAX
    + " ".len()
    + ESCAPED_BYTES_MAX
    + "\n".len();

/// The longest closing reply (`ACK`, `NAK`, `OK`, `ERR`) with its LF, in bytes. Each slot of a client reserves that
/// much room in the outbox, so a reply never waits for room. It is enough for an `ERR` with a number of
/// [`NUMBER_BYTES_MAX`], its reason, and a few words on what to do.
pub const REPLY_BYTES_MAX: usize = 80;

/// The longest line of a listing (`WHO`, `STAT`, `HELP`) with its LF, in bytes.
pub const ANSWER_LINE_BYTES_MAX: usize = 120;

/// The part of an outbox that is reserved for closing replies, in bytes: MSG lines leave it free.
pub const REPLY_ROOM_BYTES: usize = IN_FLIGHT * REPLY_BYTES_MAX;

/// The capacity of the queue: the slots of all clients together, so that it cannot overflow.
pub const QUEUE_MAX: usize = CLIENTS * IN_FLIGHT;

/// The tasks that handlers have, and those that are done and not acknowledged yet: as many as all handlers may have at
/// once. So a handler that is free always gets one, unless the disk lags behind.
pub const TASKS_MAX: usize = HANDLERS * HANDLER_TASKS;

/// The longest `TASK` line with its LF, in bytes: a `MSG` line, with two numbers in place of the ID.
pub const TASK_BYTES_MAX: usize = MSG_BYTES_MAX + "K".len() + NUMBER_BYTES_MAX + " ".len();

/// What stands behind a text that was cut. To a reader who undoes the escapes from the left, it is not a part of the
/// text: its backslash is followed by neither a backslash nor `x`. An escaped text may end with the same bytes, after
/// one more backslash.
pub const CUT_MARK: &str = "\\...";

/// The longest closing reply with the text of a handler, with its LF, in bytes. Only [`REPLY_BYTES_MAX`] of it are
/// reserved in the sender's outbox: if the sender reads so slowly that there is no room for the rest, the text is cut.
pub const TEXT_REPLY_BYTES_MAX: usize = REPLY_BYTES_MAX + 4 * HANDLER_TEXT_BYTES;

/// How long a handler has for a task before it asks for more with `/extend`, in milliseconds, if `--handle-limit` is
/// not shorter: longer than a valve or a script takes, and short enough that the sender learns of a handler that hangs.
pub const TASK_MS: u64 = 30 * 1_000;

/// How long a task is not given to a handler again after a `/later`, in milliseconds: a handler that is not ready is
/// not asked over and over, and one that soon is does not wait long.
pub const TASK_PAUSE_MS: u64 = 1_000;

/// Deadlines of waiting tasks are rounded up to a multiple of this, in milliseconds: a scan of all waiting tasks then
/// serves all deadlines of that time. It is a tenth of the shortest `--handle-wait`.
pub const TASK_GRAIN_MS: u64 = TIMEOUT_MS_MIN / 10;

/// `--handle-wait`, unless set, in milliseconds.
pub const HANDLE_WAIT_MS_DEFAULT: u64 = 30 * 1_000;

/// The longest `--handle-wait`, in milliseconds: an hour. It cannot be off, because every message gets its reply.
pub const HANDLE_WAIT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--handle-limit`, unless set, in milliseconds: ten times [`TASK_MS`].
pub const HANDLE_LIMIT_MS_DEFAULT: u64 = 10 * TASK_MS;

/// The longest `--handle-limit`, in milliseconds: a day. It cannot be off, because every message gets its reply.
pub const HANDLE_LIMIT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The highest `--attempts`: a message that so many handlers have lost is not lost by accident.
pub const ATTEMPTS_MAX: usize = 100;

/// How many bytes of an outbox one `send` takes at most. The sending thread copies them first, so that it holds no
/// lock during the system call.
pub const SEND_BYTES_MAX: usize = 4096;

/// Sends for one client in each poll of its session.
pub const SENDS_PER_POLL_MAX: usize = 4;

/// How often a thread runs the pipeline in one call, each time for one group. Then a worker polls its own connections
/// before it calls again.
pub const PIPELINE_RUNS_MAX: usize = 2;

/// How many messages make a worker run the pipeline although other connections of it still wait to be polled: half a
/// batch, so that the first clients get their ACKs while the worker receives the lines of the others. Fewer messages
/// wait until the worker has polled all its connections.
pub const PIPELINE_MESSAGES_MIN: usize = BATCH.div_ceil(2);

/// How long a commit to the journal may take, on average, for workers to run the pipeline, in microseconds: several
/// times the cost of waking another thread. If commits took longer, the worker's other clients would notice that it
/// waits for the disk.
pub const PIPELINE_SYNC_US_MAX: u64 = 1_000;

/// With a journal, workers run the pipeline while at most one in this many groups has messages of several clients. A
/// quarter: with one worker for each of 32 clients, the share is that low only if the clients send little.
pub const PIPELINE_SHARED_GROUPS_DIVISOR: u32 = 4;

/// The slice that a worker requests from the scheduler once it has urgent messages, in nanoseconds: the shortest that
/// Linux permits.
pub const SLICE_URGENT_NS: u64 = 100_000;

/// Words of a bitmap with one bit for each client.
pub const CLIENT_WORDS: usize = CLIENTS.div_ceil(32);

/// How much the kernel may hold for one connection in each direction, in bytes. Without this bound, Linux lets the
/// buffers of a client that does not read grow to megabytes. The kernel doubles the value for its own bookkeeping.
pub const SOCKET_BUFFER_BYTES: usize = 64 * 1024;

/// The receive buffer of a client from which the server receives nothing until the client reads, in bytes; in
/// addition, the kernel accepts what its window has let the client send before: see
/// [`socket::raise_receive_buffer`](crate::net::socket::raise_receive_buffer). It is larger by a quarter, so that the
/// client can send a little more.
pub const RAISED_RECEIVE_BUFFER_BYTES: usize = SOCKET_BUFFER_BYTES / 4 * 5;

/// After how many seconds of silence the kernel first probes a connection. It repeats the probe every
/// [`KEEPALIVE_INTERVAL_S`], and after [`KEEPALIVE_PROBES`] without an answer the connection is broken.
///
/// The server detects within 90 s that a board has lost its power. If nothing was being sent, the probes take 40 s
/// from the board's last sign of life. If something was being sent, [`UNACKNOWLEDGED_MS_MAX`] takes 40 s from the
/// first attempt. The worst case is both: just before the last probe the server sends something, and meanwhile the
/// kernel does not probe; that takes 80 s. The rest is for the kernel's timers, which may be late by an eighth of
/// their time, and for the first retransmission.
pub const KEEPALIVE_IDLE_S: u32 = 25;
/// The time between two probes, in seconds: see [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_INTERVAL_S: u32 = 5;
/// How many probes without an answer break a connection: see [`KEEPALIVE_IDLE_S`].
pub const KEEPALIVE_PROBES: u32 = 3;

/// After how many probes or retransmissions without an answer a connection gives up its place to a new one that needs
/// it. A single one may be lost on a radio link, or still be on its way over a slow link.
pub const UNANSWERED_MIN: u8 = 2;

/// How long sent bytes may stay unacknowledged by the peer's kernel, in milliseconds. It also applies to a peer whose
/// kernel acknowledges but has no room, because the client does not read. So if `--write-timeout` is longer, the time
/// is that time-out plus one of the [`WRITE_CHECKS`] and [`WRITE_MARGIN_MS`]. If that time-out is off, it is the
/// system's default, a quarter of an hour.
pub const UNACKNOWLEDGED_MS_MAX: u32 = 40_000;

/// How often within the write time-out the server checks whether a client whose socket accepts nothing still reads.
pub const WRITE_CHECKS: u64 = 8;

/// How much later than the write time-out, plus one of the [`WRITE_CHECKS`], the kernel ends a connection, in
/// milliseconds: so the server closes it first, and can tell the client why.
pub const WRITE_MARGIN_MS: u32 = 5_000;

/// Receives from a lingering connection in each poll. The bytes are discarded.
pub const DISCARDS_PER_POLL_MAX: usize = 8;

/// How many events one wait of a worker returns at most; the next wait returns the rest.
pub const EVENTS_MAX: usize = 64;

/// The lines of one batch, in bytes.
pub const BATCH_BYTES_MAX: usize = BATCH * MSG_BYTES_MAX;

/// Calls of accept(2) in a row, before the acceptor checks signals and its other work.
pub const ACCEPTS_PER_POLL_MAX: usize = 16;

/// The part of the drain time-out that is reserved for the last replies, in milliseconds, but at most a quarter of it:
/// the server refuses the messages that are not processed by then, and sends the refusals. Half a second was too short
/// on a board with twenty processes on two processors.
pub const LAST_WORDS_MS: u64 = 2_000;

/// How long a client that has all its replies may take in a shutdown to read the rest, in milliseconds: the messages
/// of other clients that are left, and the farewell. The kernel still sends what it has accepted by then.
pub const SHUTDOWN_REST_MS_MAX: u64 = 500;

/// Files of the journal. Two would be enough; with eight, at most an eighth of the history is lost when the oldest
/// file is reused.
pub const JOURNAL_SEGMENTS: usize = 8;

/// The unit of writes to a disk, in bytes: a page of the system.
pub const PAGE_BYTES: usize = 4096;

/// The header of a journal file, in bytes: a page of its own, so that no later write touches it.
pub const SEGMENT_HEADER_BYTES: usize = PAGE_BYTES;

/// The room at the end of a journal file for its marks, which say which IDs were given, in bytes: two pages, written
/// alternately.
pub const SEGMENT_MARKS_BYTES: usize = 2 * PAGE_BYTES;

/// `--journal-size`, unless set, in bytes.
pub const JOURNAL_BYTES_DEFAULT: u64 = 64 * 1024 * 1024;

/// The smallest `--journal-size`, in bytes: a segment has to hold more than one batch of the longest messages.
pub const JOURNAL_BYTES_MIN: u64 = 1024 * 1024;

/// The largest `--journal-size`, in bytes: a segment's offsets are 32 bits, and file offsets are on some boards.
pub const JOURNAL_BYTES_MAX: u64 = JOURNAL_SEGMENTS as u64 * 1024 * 1024 * 1024;

/// How many batches one group has at most. With a journal, a group has the batches that arrived during the sync
/// before, and one sync covers all of them.
pub const JOURNAL_BATCHES_MAX: usize = 16;

/// Commit groups: one that is being committed, and one that is being delivered.
pub const GROUPS: usize = 2;

/// The time between two attempts to reopen a journal whose disk has failed, in milliseconds.
pub const JOURNAL_RETRY_MS: u64 = 1_000;

/// How much the replay reads for one client before it serves others, in bytes.
pub const REPLAY_BYTES_PER_POLL: u32 = 2 * JOURNAL_READ_BYTES as u32;

/// The free room in an outbox from which on the replay reads for its client, in bytes: the longest `MSG` line, and a
/// `LOST` line.
pub const REPLAY_ROOM_BYTES: usize = MSG_BYTES_MAX + ANSWER_LINE_BYTES_MAX;

/// How long the replay waits at most for the publication of a rotation that the writer has just begun, in
/// milliseconds: longer than a sync of a healthy disk. Then it tries again.
pub const ROTATION_MS_MAX: u64 = 1_000;

/// The stack of the replay thread, in bytes: it reads and copies, and its calls are not deep.
pub const REPLAY_STACK_BYTES: usize = 64 * 1024;

/// `--sync-interval`, unless set, in milliseconds.
pub const SYNC_INTERVAL_MS_DEFAULT: u64 = 1_000;

/// The shortest `--sync-interval`, in milliseconds: a sync of an SD card takes about as long.
pub const SYNC_INTERVAL_MS_MIN: u64 = 10;

/// The longest `--sync-interval`, in milliseconds: an hour. For more there is `--sync none`.
pub const SYNC_INTERVAL_MS_MAX: u64 = 60 * 60 * 1_000;

/// The part of a journal record before FROM and text, in bytes.
pub const RECORD_HEADER_BYTES: usize = 28;

/// The longest record without its padding, in bytes.
pub const RECORD_BYTES_MAX: usize = RECORD_HEADER_BYTES + FROM_BYTES_MAX + TEXT_BYTES;

/// The records of one batch, in bytes: the largest write to the journal.
pub const JOURNAL_BATCH_BYTES: usize = BATCH * RECORD_BYTES_MAX.next_multiple_of(8);

/// The speed at which the slowest disk makes or reads the journal at the start, in bytes a second: a slow SD card
/// under other load. The server asks the service manager for the time that this takes.
pub const JOURNAL_OPENING_BYTES_A_SECOND: u64 = 2 * 1024 * 1024;

/// The size of one read of the journal, in bytes.
pub const JOURNAL_READ_BYTES: usize = 32 * 1024;

/// How much of the journal is read at a position to find a record near it, in bytes: at any position, a whole record
/// begins and ends in it.
pub const JOURNAL_PROBE_BYTES: usize = 2 * RECORD_BYTES_MAX.next_multiple_of(8);

/// The size of the stretches into which a segment is divided for the search for its end, in bytes. The search looks
/// into each stretch, and reads only the last one that holds something, and what may follow it. Whatever `--sync`
/// says, at most one stretch is written without a sync. That bounds how far the system may have written ahead when the
/// power failed. A segment of the default size is read as a whole; one of the largest size takes 127 looks, and about
/// three times as many bytes.
pub const JOURNAL_STRETCH_BYTES: u32 = 8 * 1024 * 1024;

/// How often a disk call that a signal interrupts is repeated. A disk whose calls are interrupted more often has
/// failed.
pub const JOURNAL_INTERRUPTIONS_MAX: usize = 100;

/// How long a reader of a journal that another process writes waits before it looks for more, in milliseconds: short
/// for a person, and little work.
pub const JOURNAL_POLL_MS: u16 = 200;

/// How often a reader of a journal that another process writes reads all headers until they form a consistent
/// snapshot. They do not if the writer rotates meanwhile: a rotation takes a sync, and the 16 reads take a fraction of
/// that.
pub const JOURNAL_SNAPSHOT_READS_MAX: usize = 1_000;

/// The buffer for a listing of the journal's directory, in bytes. It holds some dozen names; the system needs room for
/// the longest one, of 255 bytes, and its number.
pub const JOURNAL_LISTING_BYTES: usize = 2_048;

/// How many ranges of missing IDs a check of the journal lists; it only counts the rest.
pub const JOURNAL_GAPS_LISTED_MAX: usize = 20;

/// Listeners: those of `--listen`, and those that the service manager passes.
pub const LISTENERS_MAX: usize = 8;

/// The longest name of a network interface, in bytes: the kernel's own bound (IFNAMSIZ), without its NUL.
pub const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// Networks that may connect (`--allow`): more than a site has, and few enough to search for each connection.
pub const ALLOWED_MAX: usize = 32;

/// Networks of this machine's interfaces that `--allow local` lets in, without private ones: an address of each family
/// for more interfaces than a board has.
pub const INTERFACE_NETWORKS_MAX: usize = 32;

/// How long the server uses these networks before it reads them again, in milliseconds: long enough not to read them
/// for each connection, and short enough that a new address is soon known.
pub const INTERFACE_NETWORKS_MS: u64 = 1_000;

/// The shortest prefix of an interface's IPv4 network that counts as local: that of a large site. Strangers share
/// larger networks.
pub const INTERFACE_NETWORK_V4_PREFIX_MIN: u8 = 16;

/// The shortest prefix of an interface's IPv6 network that counts as local: that of one link, which is never longer
/// where hosts choose their addresses (RFC 4291).
pub const INTERFACE_NETWORK_V6_PREFIX_MIN: u8 = 64;

/// The buffer for one read of addresses, in bytes: rtnetlink returns no more in one message (netlink(7)).
pub const NETLINK_BYTES: usize = 8 * 1024;

/// How many reads one listing of the addresses takes at most: enough for some thousands of them.
pub const NETLINK_READS_MAX: usize = 64;

/// The log names an address that is rejected, or that tries wrong tokens, once in this time for each reason, in
/// milliseconds.
pub const LOG_THROTTLE_MS: u64 = 60_000;

/// How many addresses the log names in that time, for each kind. It reports once, without names, that there are more:
/// a client that connects from a whole network must not fill the log.
pub const LOG_THROTTLE_ADDRESSES_MAX: usize = 32;

/// Entries in the file of `--auth-file`: not all of their clients are connected at the same time.
pub const TOKENS_MAX: usize = 2 * CLIENTS;

/// The shortest token, in bytes: a random one cannot be guessed at the rate at which the server checks tokens.
pub const TOKEN_BYTES_MIN: usize = 16;

/// The longest token, in bytes: 256 random bits in hexadecimal digits.
pub const TOKEN_BYTES_MAX: usize = 64;

/// The longest line of the auth file with its LF, in bytes, with single spaces between the words.
pub const AUTH_LINE_BYTES_MAX: usize = NICK_BYTES_MAX + TOKEN_BYTES_MAX + "   9 no-join handle\n".len() - 1;

/// The largest auth file, in bytes: with the largest number of entries, a quarter of it is left for comments.
pub const AUTH_FILE_BYTES_MAX: usize = TOKENS_MAX * AUTH_LINE_BYTES_MAX / 3 * 4;

/// How long a client may take to show its token, in milliseconds: enough for a person to paste it. So a client without
/// a token cannot keep a place from others.
pub const AUTHENTICATION_MS_MAX: u64 = 20_000;

/// How many wrong tokens close a connection.
pub const WRONG_TOKENS_MAX: u8 = 3;

/// How long after a wrong token the server checks no other token from that address, in milliseconds. It is also the
/// delay of the reply to the first wrong token; the delay doubles with each further one.
pub const WRONG_TOKEN_MS: u64 = 1_000;

/// The longest delay of the reply to a wrong token, in milliseconds.
pub const WRONG_TOKEN_MS_MAX: u64 = 8_000;

/// How long after the last wrong token of an address the server forgets its wrong tokens, in milliseconds.
pub const WRONG_TOKEN_MEMORY_MS: u64 = 60_000;

/// How many addresses with wrong tokens the server remembers. All further ones count as one address.
pub const SUSPECTS_MAX: usize = 64;

/// Connections that the kernel completes before they are accepted.
pub const BACKLOG: i32 = 128;

/// Rejected connections that linger, so that their peers can read the reason, until they close or [`FAREWELL_MS_MAX`]
/// is over. If there are more, the oldest is closed first.
pub const REJECTED_MAX: usize = 16;

/// How long a client may take to read the farewell before the server closes the socket, in milliseconds. If the server
/// closed it at once, the kernel could reset the connection, and the client might never see the reason.
pub const FAREWELL_MS_MAX: u64 = 2_000;

/// Connections that wait at the same time for the place of an evicted client. Further ones are rejected.
pub const PENDING_MAX: usize = 16;

/// Pending connections from one address that has its share of places already: so that an address leaves room for
/// others.
pub const PENDING_PER_ADDRESS_MAX: usize = PENDING_MAX / 4;

/// How long a pending connection waits at most, in milliseconds: as long as an evicted client may take, and some more.
pub const PENDING_MS_MAX: u64 = FAREWELL_MS_MAX + 1_000;

/// The pause after accept(2) has failed for lack of descriptors or memory, in milliseconds. After any other failure
/// that is not about a single connection, it is the first pause, and each further pause is twice as long.
pub const ACCEPT_RETRY_MS: u64 = 200;

/// The longest of these pauses, in milliseconds: a socket that never works again costs nothing, and one that does is
/// soon in use.
pub const ACCEPT_RETRY_MS_MAX: u64 = 5_000;

/// How many failures in a row that are about a single connection each cause no pause: as many as there are calls of
/// accept(2) in a row.
pub const ACCEPT_FAILURES_MAX: u32 = ACCEPTS_PER_POLL_MAX as u32;

/// How long the server waits at its end for the log to be written, in milliseconds: a stuck terminal must not keep it
/// from ending.
pub const LOG_DRAIN_MS_MAX: u64 = 1_000;

/// The longest timed sleep, in seconds: the largest time of a 32-bit kernel, 68 years. A longer sleep has no time-out.
pub const SLEEP_SECONDS_MAX: u64 = i32::MAX as u64;

/// The text of one log record, in bytes. A longer text is cut and marked as cut.
pub const LOG_TEXT_BYTES_MAX: usize = 240;

/// The part of the text that module and line may take, if they are shown, in bytes.
pub const LOG_ORIGIN_BYTES_MAX: usize = 80;

/// The longest log line with its LF, in bytes: date, level, text. The seconds since the start, from 64-bit
/// nanoseconds, are shorter than a date.
pub const LOG_LINE_BYTES_MAX: usize =
    "2026-11-28T16:41:31.123Z ".len() + "ERROR ".len() + LOG_TEXT_BYTES_MAX + "\n".len();

/// The smallest jump of the wall clock that the log file reports, in milliseconds. A smaller one does not confuse a
/// reader that searches by date, and is usual when a clock is corrected.
pub const LOG_DATE_JUMP_MS: u64 = 1_000;

/// How much the log writer writes at a time at most, in bytes: one page, so that a burst of records costs an SD card
/// few writes.
pub const LOG_BATCH_BYTES: usize = 4096;

/// The pause after the log file could not be opened, in milliseconds.
pub const LOG_REOPEN_MS: u64 = 1_000;

/// The longest line on standard error about an error of the log file, in bytes: descriptions of errors have about 50.
pub const LOG_COMPLAINT_BYTES_MAX: usize = 160;

/// The smallest `--log-size`, in bytes: less would hold only the lines of a start.
pub const LOG_FILE_BYTES_MIN: u64 = 16 * 1024;

/// The stack of the consumer's own thread, in bytes: it formats and copies, and its calls are not deep.
pub const CONSUMER_STACK_BYTES: usize = 64 * 1024;

/// The stack of the delivery's own thread, in bytes: as that of the consumer.
pub const DELIVERY_STACK_BYTES: usize = CONSUMER_STACK_BYTES;

/// The stack of the log writer, in bytes.
pub const LOGGER_STACK_BYTES: usize = 64 * 1024;

/// The port, unless `--listen` says otherwise; from the protocol.
pub const PORT_DEFAULT: u16 = 9090;

/// The highest `--realtime`: above it run only the kernel's own threads, which move others between processors.
pub const REALTIME_PRIORITY_MAX: u32 = 98;

/// The longest `--aging`, in milliseconds: a day for one step of priority is as good as none.
pub const AGING_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// The shortest of all time-outs, in milliseconds: less would close healthy clients on a radio link.
pub const TIMEOUT_MS_MIN: u64 = 100;

/// `--idle-timeout`, unless set, in milliseconds: an hour, longer than a device that reports sleeps.
pub const IDLE_TIMEOUT_MS_DEFAULT: u64 = 60 * 60 * 1_000;

/// The longest `--idle-timeout`, in milliseconds: a year. For more there is `off`.
pub const IDLE_TIMEOUT_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1_000;

/// `--write-timeout`, unless set, in milliseconds: longer than a radio link is usually lost.
pub const WRITE_TIMEOUT_MS_DEFAULT: u64 = 30 * 1_000;

/// The longest `--write-timeout`, in milliseconds: an hour. For more there is `off`.
pub const WRITE_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--line-timeout`, unless set, in milliseconds: longer than a radio link is usually lost. Most programs send typed
/// lines as a whole, so a person that pauses while typing is not affected.
pub const LINE_TIMEOUT_MS_DEFAULT: u64 = 30 * 1_000;

/// How many bytes one key sends at most: a character of UTF-8. The server recognizes a program that sends each key by
/// itself, as telnet of Windows does, by receives that are no longer than that and end no line.
pub const KEY_BYTES_MAX: usize = 4;

/// How many such receives in a row mean that a person types: a single one may be the beginning of a line that came in
/// two parts.
pub const TYPIST_KEYS_MIN: u8 = 2;

/// How many times `--line-timeout` a typed line may take if each key comes within one `--line-timeout` of the key
/// before.
pub const TYPED_LINE_TIMEOUTS: u64 = 10;

/// The longest `--line-timeout`, in milliseconds: an hour. For more there is `off`.
pub const LINE_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--idle-grace`, unless set, in milliseconds: a client that reports each minute keeps its place.
pub const IDLE_GRACE_MS_DEFAULT: u64 = 60 * 1_000;

/// The longest `--idle-grace`, in milliseconds: a day. For more there is `off`.
pub const IDLE_GRACE_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// `--per-address`, unless set: a quarter of the places of the usual board, so that one host cannot keep others out.
/// On a small board, all places.
pub const PER_ADDRESS_DEFAULT: usize = if CLIENTS < 16 { CLIENTS } else { 16 };

/// The highest `--rate`, in lines a second: more than such a board processes from all clients together.
pub const RATE_MAX: usize = 1_000_000;

/// The burst of `--rate`, in milliseconds: a client may send as many lines at once as the rate gives in this time.
pub const RATE_BURST_MS: u64 = 1_000;

/// The highest `--urgent-rate`, in messages a minute: a thousand alarms a second are not plausible.
pub const URGENT_RATE_MAX: usize = 60_000;

/// How long a client under `--rate` that was too fast waits at least, in milliseconds; then the server takes all the
/// lines that the rate gives in that time. One wake for each line would keep the processor busy.
pub const RATE_PAUSE_MS: u64 = 10;

/// The burst of `--urgent-rate`, in milliseconds: a client may send as many urgent messages at once as the rate gives
/// in this time. It is a minute, because an alarm seldom comes alone.
pub const URGENT_BURST_MS: u64 = 60_000;

/// `--drain-timeout`, unless set, in milliseconds; from the protocol.
pub const DRAIN_TIMEOUT_MS_DEFAULT: u64 = 5 * 1_000;

/// The longest `--drain-timeout`, in milliseconds: an hour. It cannot be off, because the server promises to end.
pub const DRAIN_TIMEOUT_MS_MAX: u64 = 60 * 60 * 1_000;

/// `--log-size`, unless set, in bytes.
pub const LOG_FILE_BYTES_DEFAULT: u64 = 1024 * 1024;

/// The largest `--log-size`, in bytes: a file offset of 32 bits can still address it.
pub const LOG_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// The longest datagram to the service manager, in bytes: a short status.
pub const SERVICE_DATAGRAM_BYTES_MAX: usize = 160;

/// The leading bits of a value that a histogram distinguishes: each doubling has 2^4 buckets, so the
/// error of a value is at most 1/16.
pub const HISTOGRAM_PRECISION_BITS: u32 = 4;

/// The bits of the largest value that a histogram distinguishes: 2^42 ns is 73 minutes, longer than anything waits on
/// a server that works.
pub const HISTOGRAM_VALUE_BITS: u32 = 42;

/// The largest value that a histogram distinguishes, in nanoseconds. Larger values count as this one.
pub const HISTOGRAM_VALUE_NS_MAX: u64 = (1 << HISTOGRAM_VALUE_BITS) - 1;

/// The buckets of a histogram: one for each of the smallest values, and as many for each doubling above them.
pub const HISTOGRAM_BUCKETS: usize =
    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_PRECISION_BITS + 1) as usize) << HISTOGRAM_PRECISION_BITS;

/// The size of a histogram, in bytes: its buckets, the number of values, their sum, and the largest value.
pub const HISTOGRAM_BYTES: usize = (HISTOGRAM_BUCKETS + 3) * size_of::<u64>();

/// The upper bounds of the coarse buckets that `/stats full` lists of each histogram, in microseconds: three for each
/// power of ten, from a line that finds an idle board to one that waits for a minute. Fixed, so that what collects them
/// can add those of many boards.
pub const STAT_BUCKETS_US: [u64; 19] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 25_000_000, 60_000_000,
];

/// The longest name with which a misspelt one is compared, in bytes: of an option without its dashes, or of a command.
pub const NAME_BYTES_MAX: usize = 32;

/// How much of a wrong value the error about an option shows, in bytes before they are escaped.
pub const USAGE_GIVEN_BYTES_MAX: usize = 64;

/// Descriptors besides those of clients and workers: standard streams, listeners, signals, log files, rejected and
/// pending connections, one being accepted, one to the service manager, one for the networks of the interfaces, one
/// for their names, and the segments of the journal with their directory, for the writer and for the replay, and once
/// more while each of them reopens them.
pub const DESCRIPTORS_OTHER: usize =
    3 + LISTENERS_MAX + REJECTED_MAX + PENDING_MAX + 10 + 4 * (JOURNAL_SEGMENTS + 1);

const _: () = {
    assert!(CLIENTS <= u16::MAX as usize, "a connection's ID has 16 bits");
    assert!(HANDLERS <= CLIENTS, "a handler is a client");
    assert!(TASKS_MAX <= u16::MAX as usize, "a task's ID has 16 bits");
    assert!(ATTEMPTS_MAX < u8::MAX as usize, "the attempts at a task are counted in 8 bits");
    assert!(
        "/extend ".len() + NUMBER_BYTES_MAX + " ".len() + HANDLER_TEXT_BYTES <= LINE_BYTES_MAX,
        "the text of a handler fits a line"
    );
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + TASK_BYTES_MAX,
        "an empty outbox has room for a task beside the replies"
    );
    assert!(
        TIMEOUT_MS_MIN <= HANDLE_WAIT_MS_DEFAULT
            && HANDLE_WAIT_MS_DEFAULT <= HANDLE_WAIT_MS_MAX
            && TIMEOUT_MS_MIN <= HANDLE_LIMIT_MS_DEFAULT
            && HANDLE_LIMIT_MS_DEFAULT <= HANDLE_LIMIT_MS_MAX
    );
    assert!(IN_FLIGHT <= 64, "more is not tested; the room for replies in an outbox grows with it");
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
        "a histogram needs precision bits, and values with more bits"
    );
    assert!(HISTOGRAM_VALUE_BITS < u64::BITS, "a histogram's values have 64 bits");
    let probed_ms = (KEEPALIVE_IDLE_S + KEEPALIVE_PROBES * KEEPALIVE_INTERVAL_S) * 1_000;
    assert!(
        UNANSWERED_MIN as u32 <= KEEPALIVE_PROBES,
        "a connection counts as unanswered before the kernel ends it"
    );
    assert!(probed_ms <= UNACKNOWLEDGED_MS_MAX, "the kernel probes for the longer of the two times");
    assert!(
        (probed_ms + UNACKNOWLEDGED_MS_MAX) / 8 + probed_ms + UNACKNOWLEDGED_MS_MAX <= 90_000,
        "the loss of a board's power is detected within 90 s"
    );
    assert!(WORKERS <= CLIENTS, "a worker without a client would only cost its stack");
    assert!(TEXT_BYTES <= u16::MAX as usize, "the length of a text has 16 bits");
    assert!("/auth ".len() + TOKEN_BYTES_MAX <= LINE_BYTES_MAX, "a token fits a line");
    assert!(
        WRONG_TOKEN_MS <= WRONG_TOKEN_MS_MAX && WRONG_TOKEN_MS_MAX < AUTHENTICATION_MS_MAX,
        "a wrong token gets its reply before the time-out for the login"
    );
    assert!(
        PER_ADDRESS_DEFAULT as u64 * WRONG_TOKEN_MS < AUTHENTICATION_MS_MAX,
        "a client that shares its address with others that try wrong tokens still has time to log in"
    );
    assert!(RECEIVE_BYTES >= LINE_BYTES_MAX + "\r\n".len(), "a whole line must fit the receive buffer");
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + 2 * MSG_BYTES_MAX && REPLAY_ROOM_BYTES < 2 * MSG_BYTES_MAX,
        "an outbox needs its reply room, and room for some MSG lines"
    );
    assert!(
        OUTBOX_BYTES >= REPLY_ROOM_BYTES + ANSWER_LINE_BYTES_MAX,
        "an empty outbox has room for a line of a listing"
    );
    assert!(
        SEGMENT_HEADER_BYTES + JOURNAL_BATCH_BYTES + SEGMENT_MARKS_BYTES
            < JOURNAL_BYTES_MIN as usize / JOURNAL_SEGMENTS,
        "a segment holds a batch"
    );
    assert!(JOURNAL_READ_BYTES >= 2 * RECORD_BYTES_MAX, "a read holds a record wherever it begins");
    assert!(JOURNAL_READ_BYTES >= JOURNAL_PROBE_BYTES, "a probe fits the buffer for a read");
    assert!(REPLAY_BYTES_PER_POLL as usize >= 32 * JOURNAL_PROBE_BYTES, "a binary search fits one poll");
    assert!(
        JOURNAL_BYTES_MAX / JOURNAL_SEGMENTS as u64 / JOURNAL_STRETCH_BYTES as u64 <= 128,
        "the search for the end of a segment takes few looks"
    );
    assert!(
        LOG_ORIGIN_BYTES_MAX < LOG_TEXT_BYTES_MAX / 2,
        "module and line leave most of a log line to its text"
    );
    assert!(
        LOG_BATCH_BYTES >= 4 * LOG_LINE_BYTES_MAX,
        "a batch has room for a jump of the date, an earlier loss, a loss and a record"
    );
    assert!(LOG_FILE_BYTES_MIN / 2 >= LOG_BATCH_BYTES as u64, "a batch must fit a log file");
    assert!(ANSWER_LINE_BYTES_MAX >= "WHO  p9 ".len() + FROM_BYTES_MAX + NUMBER_BYTES_MAX + "\n".len());
};
