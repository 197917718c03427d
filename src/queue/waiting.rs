//! The waiting messages in a bounded heap, and their numbers by priority. It has no lock and no clock: threads share
//! it in a [`Queue`](super::Queue).

use super::chain::Run;
use super::order::Order;
use super::task_id::TaskId;
use crate::protocol::Priority;
use core::cmp::Ordering;
use heapless::{BinaryHeap, binary_heap::Max};

/// One waiting run, with the key of its first message.
struct Entry<T> {
    key: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// A run that was picked from the heap, with its priority and the time of its admission.
#[derive(Debug)]
pub struct Picked<T> {
    /// The run.
    pub item: T,
    /// Its priority.
    pub priority: Priority,
    /// When the first message was admitted, in nanoseconds; strictly increasing in the order of admission. Each further
    /// message counts as admitted one nanosecond after the previous one.
    pub stamp_ns: u64,
    /// The ID of the task, if this is a task that a handler has done.
    pub task: Option<TaskId>,
}

/// The message counts of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// How many messages were admitted since the start.
    pub admitted: u64,
    /// How many messages wait now.
    pub now: u32,
    /// The high-water mark: the largest number that has waited at once.
    pub max: u32,
}

impl Depth {
    /// Nothing was admitted.
    pub const ZERO: Self = Self { admitted: 0, now: 0, max: 0 };
}

/// At most `N` waiting runs.
pub struct Waiting<T, const N: usize> {
    heap: BinaryHeap<Entry<T>, Max, N>,
    order: Order,
    stamp_last_ns: u64,
    depths: [Depth; Priority::COUNT],
}

impl<T: Run, const N: usize> Default for Waiting<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Run, const N: usize> Waiting<T, N> {
    /// An empty heap with the order [`Order::STRICT`].
    pub const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            order: Order::STRICT,
            stamp_last_ns: 0,
            depths: [Depth::ZERO; Priority::COUNT],
        }
    }

    /// Sets the order. Call it at the start, before anything is admitted.
    ///
    /// # Panics
    /// If a run waits already: its key would be misread.
    pub fn set_order(&mut self, order: Order) {
        assert!(self.heap.is_empty());
        self.order = order;
    }

    /// Admits a run at `now_ns`, in nanoseconds.
    ///
    /// # Errors
    /// Returns the run if `N` wait already.
    pub fn push(&mut self, item: T, priority: Priority, now_ns: u64) -> Result<(), T> {
        let (stamp_ns, messages) = (now_ns.max(self.stamp_last_ns + 1), item.len());
        let entry = Entry { key: self.order.key(priority, stamp_ns), item };
        self.heap.push(entry).map_err(|entry| entry.item)?;
        self.stamp_last_ns = stamp_ns + messages as u64 - 1;
        let depth = &mut self.depths[priority.index()];
        depth.admitted += messages as u64;
        depth.now += messages as u32;
        depth.max = depth.max.max(depth.now);
        Ok(())
    }

    /// Takes the next run, if it has at most `messages_max` messages.
    pub fn pop(&mut self, messages_max: usize) -> Option<Picked<T>> {
        self.heap.peek().filter(|entry| entry.item.len() <= messages_max)?;
        let Entry { key, item } = self.heap.pop()?;
        let (priority, stamp_ns) = self.order.read(key);
        self.depths[priority.index()].now -= item.len() as u32;
        Some(Picked { item, priority, stamp_ns, task: None })
    }

    /// The priority of the next run.
    pub fn next_priority(&self) -> Option<Priority> {
        self.heap.peek().map(|entry| self.order.read(entry.key).0)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// The depth of each priority, by its index.
    pub fn depths(&self) -> [Depth; Priority::COUNT] {
        self.depths
    }

    /// The stamp of the oldest waiting message of each priority, by the priority's index. It reads the whole heap: at
    /// most `N` entries of 16 bytes.
    pub fn oldest_ns(&self) -> [Option<u64>; Priority::COUNT] {
        let mut oldest: [Option<u64>; Priority::COUNT] = [None; Priority::COUNT];
        for entry in self.heap.iter() {
            let (priority, stamp_ns) = self.order.read(entry.key);
            let first = &mut oldest[priority.index()];
            *first = Some(first.map_or(stamp_ns, |first| first.min(stamp_ns)));
        }
        oldest
    }
}

const _: () = assert!(size_of::<Entry<super::chain::Chain>>() <= 16, "the heap moves small entries");
const _: () =
    assert!(size_of::<Picked<super::chain::Chain>>() <= 24, "the task's ID has room beside the priority");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A run of consecutive numbers.
    impl Run for core::ops::Range<u32> {
        fn len(&self) -> usize {
            ExactSizeIterator::len(self)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8, u64, u32),
        Pop(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let push =
            (0..10u8, 0..50u64, 1..6u32).prop_map(|(priority, wait, len)| Step::Push(priority, wait, len));
        prop::collection::vec(prop_oneof![3 => push, 2 => (1..6usize).prop_map(Step::Pop)], 0..200)
    }

    /// A run in the model.
    #[derive(Clone, Debug, PartialEq)]
    struct Waits {
        priority: u8,
        stamp: u64,
        numbers: core::ops::Range<u32>,
    }

    /// A simple, slow model: a list, in which each pop searches for the best run. The first message decides the place
    /// of a run.
    #[derive(Default)]
    struct Model {
        list: Vec<Waits>,
    }

    impl Model {
        fn pop(&mut self, aging_ns: u64, max: usize) -> Option<Waits> {
            let worth = |waits: &Waits| match aging_ns {
                0 => u64::from(waits.priority),
                _ => u64::from(waits.priority) * aging_ns + 100_000 - waits.stamp,
            };
            let best = (0..self.list.len()).max_by(|&a, &b| {
                let (a, b) = (&self.list[a], &self.list[b]);
                (worth(a), b.stamp).cmp(&(worth(b), a.stamp))
            })?;
            (Run::len(&self.list[best].numbers) <= max).then(|| self.list.remove(best))
        }
    }

    proptest! {
        #[test]
        fn any_mixture_of_admissions_and_pops_gives_the_models_order(
            steps in steps(),
            aging_ns in prop_oneof![Just(0u64), 1..300u64],
        ) {
            let mut waiting: Waiting<core::ops::Range<u32>, 64> = Waiting::new();
            waiting.set_order(if aging_ns == 0 { Order::STRICT } else { Order::aging(aging_ns) });
            let (mut model, mut now, mut stamp, mut serial) = (Model::default(), 0, 0, 0);
            for step in steps {
                match step {
                    Step::Push(priority, wait, len) => {
                        now += wait;
                        let numbers = serial..serial + len;
                        serial += len;
                        let pushed = waiting.push(numbers.clone(), Priority::new(priority).unwrap(), now);
                        prop_assert_eq!(pushed.is_err(), model.list.len() == 64);
                        if pushed.is_ok() {
                            let first = now.max(stamp + 1);
                            stamp = first + u64::from(len) - 1;
                            model.list.push(Waits { priority, stamp: first, numbers });
                        }
                    }
                    Step::Pop(max) => {
                        let picked = waiting.pop(max).map(|p| {
                            Waits { priority: p.priority.number(), stamp: p.stamp_ns, numbers: p.item }
                        });
                        prop_assert_eq!(picked, model.pop(aging_ns, max));
                    }
                }
                for priority in Priority::all() {
                    let of = model.list.iter().filter(|waits| waits.priority == priority.number());
                    let messages = of.clone().map(|waits| Run::len(&waits.numbers)).sum::<usize>();
                    prop_assert_eq!(waiting.depths()[priority.index()].now as usize, messages);
                    prop_assert_eq!(waiting.oldest_ns()[priority.index()], of.map(|waits| waits.stamp).min());
                }
            }
        }
    }

    #[test]
    fn full_heap_returns_the_run_and_counts_nothing() {
        let mut waiting: Waiting<core::ops::Range<u32>, 2> = Waiting::new();
        assert_eq!(waiting.push(1..4, Priority::NORMAL, 0), Ok(()));
        assert_eq!(waiting.push(4..5, Priority::NORMAL, 0), Ok(()));
        assert_eq!(waiting.push(5..6, Priority::URGENT, 0), Err(5..6));
        assert_eq!(waiting.depths()[Priority::URGENT.index()], Depth::ZERO);
        assert_eq!(waiting.depths()[Priority::NORMAL.index()], Depth { admitted: 4, now: 4, max: 4 });
    }

    #[test]
    fn run_that_is_too_long_stays_and_is_not_overtaken() {
        let mut waiting: Waiting<core::ops::Range<u32>, 2> = Waiting::new();
        assert_eq!(waiting.push(1..4, Priority::NORMAL, 0), Ok(()));
        assert_eq!(waiting.push(4..5, Priority::NORMAL, 0), Ok(()));
        assert!(waiting.pop(2).is_none());
        assert_eq!(waiting.pop(3).map(|picked| (picked.item, picked.stamp_ns)), Some((1..4, 1)));
        assert_eq!(waiting.pop(1).map(|picked| (picked.item, picked.stamp_ns)), Some((4..5, 4)));
    }
}
