//! The queue, and the threads that process and deliver what waits in it.

use super::{BATCH, CLIENTS, IN_FLIGHT, MSG_BYTES_MAX};

/// The capacity of the queue: the slots of all clients together, so that it cannot overflow.
pub const QUEUE_MAX: usize = CLIENTS * IN_FLIGHT;

/// How often a thread runs the pipeline in one call, each time for one group. Then a worker polls its own connections
/// before it calls again.
pub const PIPELINE_RUNS_MAX: usize = 2;

/// How many messages make a worker run the pipeline although other connections of it still wait to be polled: half a
/// batch, so that the first clients get their ACKs while the worker receives the lines of the others. Fewer messages
/// wait until the worker has polled all its connections, unless one of them is urgent.
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

/// How many events one wait of a worker returns at most; the next wait returns the rest.
pub const EVENTS_MAX: usize = 64;

/// A client floods if one poll of its session takes at least this many lines that are no urgent messages, or leaves
/// some for the next poll. A device that sends what it measures, or a person at `nc`, sends fewer.
pub const FLOOD_LINES: usize = 8;

/// How long a worker remembers that a client has flooded, in milliseconds: a device that sends what it has kept during
/// an outage floods for a moment, and its next message is worth no less than those of others.
pub const FLOOD_MEMORY_MS: u64 = 100;

/// After this many lines, a worker that polls sessions that flood asks for new events. That costs as much as one or two
/// messages.
pub const LINES_BETWEEN_EVENTS: usize = 64;

/// After this many lines, a worker with several connections checks whether one other worker is stalled, and yields its
/// processor to it. A check costs less than a message, and a yield as much as a few.
pub const LINES_BETWEEN_YIELDS: usize = 64;

/// If a yield takes longer than this, in microseconds, another program has probably run: workers yield to each other
/// sooner.
pub const YIELD_US_MAX: u64 = 2_000;

/// At most one part in this many of a worker's time may go to other programs by its yields. The scheduler gives them
/// their share besides.
pub const YIELD_DIVISOR: u64 = 32;

/// How much time the yields of a worker may give to other programs at once, in milliseconds: several ticks of the
/// scheduler.
pub const YIELD_BURST_MS: u64 = 20;

/// The lines of one batch, in bytes.
pub const BATCH_BYTES_MAX: usize = BATCH * MSG_BYTES_MAX;

/// Commit groups: one that is being committed, and one that is being delivered.
pub const GROUPS: usize = 2;

/// The stack of the consumer's own thread, in bytes: it formats and copies, and its calls are not deep.
pub const CONSUMER_STACK_BYTES: usize = 64 * 1024;

/// The stack of the delivery's own thread, in bytes: as that of the consumer.
pub const DELIVERY_STACK_BYTES: usize = CONSUMER_STACK_BYTES;
