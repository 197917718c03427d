//! The messages that wait, in a bounded heap, and what is known of them. No locks here, and no clock:
//! see [`super::Queue`] for what threads share.

use super::{Order, Priority};
use core::cmp::Ordering;
use heapless::{BinaryHeap, binary_heap::Max};

/// One waiting item: its key and what is to be processed.
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

/// An item picked from the heap, with when it was admitted and as what.
#[derive(Debug)]
pub struct Picked<T> {
    /// What was admitted.
    pub item: T,
    /// Its priority.
    pub priority: Priority,
    /// When it was admitted, in nanoseconds; strictly rising in the order of admission.
    pub stamp_ns: u64,
}

/// What the queue knows of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Admitted since the start.
    pub admitted: u64,
    /// Waiting now.
    pub now: u32,
    /// The high-water mark: the most that ever waited.
    pub max: u32,
}

impl Depth {
    const ZERO: Self = Self { admitted: 0, now: 0, max: 0 };
}

/// At most `N` waiting items.
pub struct Waiting<T, const N: usize> {
    heap: BinaryHeap<Entry<T>, Max, N>,
    order: Order,
    stamp_last_ns: u64,
    depths: [Depth; Priority::COUNT],
}

impl<T, const N: usize> Default for Waiting<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Waiting<T, N> {
    /// Nothing waits yet; the order is [`Order::STRICT`].
    pub const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            order: Order::STRICT,
            stamp_last_ns: 0,
            depths: [Depth::ZERO; Priority::COUNT],
        }
    }

    /// Sets how keys are made. For the start, before anything is admitted.
    ///
    /// # Panics
    /// If something waits already: its key would be read in the wrong way.
    pub fn set_order(&mut self, order: Order) {
        assert!(self.heap.is_empty());
        self.order = order;
    }

    /// Admits one item at the time `now_ns`.
    ///
    /// # Errors
    /// Gives the item back if `N` wait already.
    pub fn push(&mut self, item: T, priority: Priority, now_ns: u64) -> Result<(), T> {
        let stamp_ns = now_ns.max(self.stamp_last_ns + 1);
        let entry = Entry { key: self.order.key(priority, stamp_ns), item };
        self.heap.push(entry).map_err(|entry| entry.item)?;
        self.stamp_last_ns = stamp_ns;
        let depth = &mut self.depths[priority.index()];
        depth.admitted += 1;
        depth.now += 1;
        depth.max = depth.max.max(depth.now);
        Ok(())
    }

    /// Takes the item that comes first.
    pub fn pop(&mut self) -> Option<Picked<T>> {
        let Entry { key, item } = self.heap.pop()?;
        let (priority, stamp_ns) = self.order.read(key);
        self.depths[priority.index()].now -= 1;
        Some(Picked { item, priority, stamp_ns })
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    /// What is known of each priority, by its index.
    pub fn depths(&self) -> [Depth; Priority::COUNT] {
        self.depths
    }

    /// The stamp of the longest waiting item of each priority, by its index. Reads the whole heap: `N` entries of
    /// 16 bytes at most, one after the other.
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

const _: () = assert!(size_of::<Entry<&'static mut super::Slot>>() <= 16, "the heap moves small entries");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u8, u64),
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let push = (0..10u8, 0..50u64).prop_map(|(priority, wait)| Step::Push(priority, wait));
        prop::collection::vec(prop_oneof![3 => push, 2 => Just(Step::Pop)], 0..200)
    }

    /// The plain slow model: all that waits in a list; the best is searched for each time.
    #[derive(Default)]
    struct Model {
        list: Vec<(u8, u64, u32)>,
    }

    impl Model {
        fn pop(&mut self, aging_ns: u64) -> Option<(u8, u64, u32)> {
            let worth = |p: u8, stamp: u64| match aging_ns {
                0 => u64::from(p),
                _ => u64::from(p) * aging_ns + 100_000 - stamp,
            };
            let best = (0..self.list.len()).max_by(|&a, &b| {
                let (a, b) = (self.list[a], self.list[b]);
                (worth(a.0, a.1), b.1).cmp(&(worth(b.0, b.1), a.1))
            })?;
            Some(self.list.remove(best))
        }
    }

    proptest! {
        #[test]
        fn any_mixture_of_admissions_and_pops_gives_the_models_order(steps in steps(), aging_ns in prop_oneof![Just(0u64), 1..300u64]) {
            let mut waiting: Waiting<u32, 64> = Waiting::new();
            waiting.set_order(if aging_ns == 0 { Order::STRICT } else { Order::aging(aging_ns) });
            let (mut model, mut now, mut stamp, mut serial) = (Model::default(), 0, 0, 0);
            for step in steps {
                match step {
                    Step::Push(priority, wait) => {
                        now += wait;
                        serial += 1;
                        let pushed = waiting.push(serial, Priority::new(priority).unwrap(), now);
                        prop_assert_eq!(pushed.is_err(), model.list.len() == 64);
                        if pushed.is_ok() {
                            stamp = now.max(stamp + 1);
                            model.list.push((priority, stamp, serial));
                        }
                    }
                    Step::Pop => {
                        let picked = waiting.pop().map(|p| (p.priority.number(), p.stamp_ns, p.item));
                        prop_assert_eq!(picked, model.pop(aging_ns));
                    }
                }
                for priority in Priority::all() {
                    let of = model.list.iter().filter(|entry| entry.0 == priority.number());
                    prop_assert_eq!(waiting.depths()[priority.index()].now as usize, of.clone().count());
                    prop_assert_eq!(waiting.oldest_ns()[priority.index()], of.map(|entry| entry.1).min());
                }
            }
        }
    }

    #[test]
    fn a_full_heap_gives_the_item_back_and_counts_nothing() {
        let mut waiting: Waiting<u32, 2> = Waiting::new();
        assert_eq!(waiting.push(1, Priority::NORMAL, 0), Ok(()));
        assert_eq!(waiting.push(2, Priority::NORMAL, 0), Ok(()));
        assert_eq!(waiting.push(3, Priority::URGENT, 0), Err(3));
        assert_eq!(waiting.depths()[Priority::URGENT.index()], Depth::ZERO);
        assert_eq!(waiting.depths()[Priority::NORMAL.index()], Depth { admitted: 2, now: 2, max: 2 });
    }
}
