//! The tasks that wait for a handler, in the order of the queue. Knows no handlers, no threads and no clock.
//!
//! Tasks leave from the middle of the order: when a task times out, or when the first tasks are not urgent enough for
//! the free handler. A binary heap does not support that. So there is a list for each priority, in the order of
//! admission. To find the next task, take the first ready task of each list; the next task is the one among them with
//! the greatest key.

use crate::hub::handling::past::Past;
use crate::protocol::Priority;
use crate::protocol::reply::Nak;
use crate::queue::{Depth, Order};
use core::mem;

/// A task that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitingTask<T> {
    /// The message.
    pub item: T,
    /// Its priority.
    pub priority: Priority,
    /// When the message was admitted, in nanoseconds; strictly increasing in the order of admission.
    pub stamp_ns: u64,
    /// From when on a handler may get the task, in nanoseconds. Its waiting time counts from then.
    pub ready_ns: u64,
    /// How often handlers have lost it or given it back.
    pub past: Past,
}

impl<T> WaitingTask<T> {
    /// Ends the task, which no handler has done. Returns the message, and the reason for its sender: `reason`, unless a
    /// handler that lost the task may have done it.
    pub fn refuse(self, reason: Nak) -> (T, Nak) {
        (self.item, self.past.reason(reason))
    }
}

/// A link to a node: its number, from 1; 0: there is none.
type Link = u32;

const NONE: Link = 0;

/// A task in a list, or a free node.
struct Node<T> {
    item: Option<T>,
    stamp_ns: u64,
    ready_ns: u64,
    next: Link,
    past: Past,
}

impl<T> Node<T> {
    /// A free node, and the next one.
    const fn free(next: Link) -> Self {
        Self { item: None, stamp_ns: 0, ready_ns: 0, next, past: Past::NONE }
    }
}

/// The first and the last node of a list.
#[derive(Clone, Copy)]
struct List {
    first: Link,
    last: Link,
}

/// The place of a waiting task, for [`WaitingTasks::peek`] and [`WaitingTasks::take`].
#[derive(Clone, Copy, Debug)]
pub struct Place {
    priority: Priority,
    before: Link,
    node: Link,
}

/// At most `N` waiting tasks. A new collection is all zeroes, so that a static one takes no space in the binary.
pub struct WaitingTasks<T, const N: usize> {
    nodes: [Node<T>; N],
    /// The first node of the free list, which holds the nodes that were used and are free again.
    free: Link,
    /// How many nodes were ever used. The others have never been in a list.
    used: Link,
    lists: [List; Priority::COUNT],
    depths: [Depth; Priority::COUNT],
    order: Order,
    stamp_last_ns: u64,
}

impl<T, const N: usize> Default for WaitingTasks<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> WaitingTasks<T, N> {
    /// No tasks, in the order [`Order::STRICT`].
    pub const fn new() -> Self {
        assert!(N < Link::MAX as usize);
        Self {
            nodes: [const { Node::free(NONE) }; N],
            free: NONE,
            used: 0,
            lists: [List { first: NONE, last: NONE }; Priority::COUNT],
            depths: [Depth::ZERO; Priority::COUNT],
            order: Order::STRICT,
            stamp_last_ns: 0,
        }
    }

    /// Sets the order. Call it at the start, before anything is admitted.
    pub fn set_order(&mut self, order: Order) {
        self.order = order;
    }

    /// How many tasks wait.
    pub fn len(&self) -> usize {
        self.depths.iter().map(|depth| depth.now as usize).sum()
    }

    /// Whether no task waits.
    pub fn is_empty(&self) -> bool {
        self.lists.iter().all(|list| list.first == NONE)
    }

    /// The depth of each priority, by its index.
    pub fn depths(&self) -> [Depth; Priority::COUNT] {
        self.depths
    }

    /// When the oldest waiting message of each priority was admitted, by the priority's index.
    pub fn oldest_ns(&self) -> [Option<u64>; Priority::COUNT] {
        self.lists.map(|list| (list.first != NONE).then(|| self.node(list.first).stamp_ns))
    }

    // ---- In --------------------------------------------------------------------------------------------

    /// Admits a message at the time `now_ns`.
    ///
    /// # Errors
    /// Returns the message if `N` wait already.
    pub fn push(&mut self, item: T, priority: Priority, now_ns: u64) -> Result<(), T> {
        let stamp_ns = now_ns.max(self.stamp_last_ns + 1);
        let task = WaitingTask { item, priority, stamp_ns, ready_ns: now_ns, past: Past::NONE };
        self.put_back(task).map_err(|task| task.item)?;
        self.stamp_last_ns = stamp_ns;
        self.depths[priority.index()].admitted += 1;
        Ok(())
    }

    /// Inserts a task in the order of its admission.
    ///
    /// # Errors
    /// Returns the task if `N` wait already.
    pub fn put_back(&mut self, task: WaitingTask<T>) -> Result<(), WaitingTask<T>> {
        let Some(node) = self.free_node() else { return Err(task) };
        let (priority, before) = (task.priority, self.last_before(task.priority, task.stamp_ns));
        let next = self.next_of(priority, before);
        let WaitingTask { item, stamp_ns, ready_ns, past, .. } = task;
        *self.node_mut(node) = Node { item: Some(item), stamp_ns, ready_ns, next, past };
        self.set_next(priority, before, node);
        if next == NONE {
            self.lists[priority.index()].last = node;
        }
        let depth = &mut self.depths[priority.index()];
        depth.now += 1;
        depth.max = depth.max.max(depth.now);
        Ok(())
    }

    fn free_node(&mut self) -> Option<Link> {
        if self.free != NONE {
            let node = self.free;
            self.free = self.node(node).next;
            return Some(node);
        }
        let is_left = (self.used as usize) < N;
        is_left.then(|| {
            self.used += 1;
            self.used
        })
    }

    /// The last node of a list that was admitted before `stamp_ns`. New tasks go to the end. Tasks that a handler had
    /// are mostly the oldest, so they go near the beginning.
    fn last_before(&self, priority: Priority, stamp_ns: u64) -> Link {
        let last = self.lists[priority.index()].last;
        if last != NONE && self.node(last).stamp_ns < stamp_ns {
            return last;
        }
        let (mut before, mut node) = (NONE, self.lists[priority.index()].first);
        while node != NONE && self.node(node).stamp_ns < stamp_ns {
            (before, node) = (node, self.node(node).next);
        }
        before
    }

    // ---- Out -------------------------------------------------------------------------------------------

    /// The next task for a handler that wants priority `min` and above, at the time `now_ns`, or `None` if no such task
    /// is ready.
    pub fn next(&self, min: Priority, now_ns: u64) -> Option<Place> {
        let lists = Priority::all().filter(|priority| *priority >= min);
        let firsts = lists.filter_map(|priority| self.find(priority, |node| node.ready_ns <= now_ns));
        firsts.max_by_key(|place| self.order.key(place.priority, self.node(place.node).stamp_ns))
    }

    /// The most urgent task, ready or not; of several, the one that was admitted first.
    pub fn any(&self) -> Option<Place> {
        Priority::all().find_map(|priority| self.find(priority, |_| true))
    }

    /// Takes the tasks that have waited for `wait_ns` or longer at the time `now_ns`, but no more than `count_max`, and
    /// passes them to `each`: the most urgent ones first, in the order of their admission. Returns the next time, in
    /// nanoseconds, at which a task becomes ready, or at which a ready task has waited for `wait_ns`. Returns `None` if
    /// no task waits. It reads all tasks once.
    pub fn expire(
        &mut self,
        wait_ns: u64,
        now_ns: u64,
        count_max: usize,
        mut each: impl FnMut(WaitingTask<T>),
    ) -> Option<u64> {
        let (mut count, mut first_ns): (usize, Option<u64>) = (0, None);
        for priority in Priority::all() {
            let (mut before, mut node) = (NONE, self.lists[priority.index()].first);
            while node != NONE {
                let (ready_ns, next) = (self.node(node).ready_ns, self.node(node).next);
                let due_ns = ready_ns + if ready_ns > now_ns { 0 } else { wait_ns };
                if due_ns <= now_ns && count < count_max {
                    count += 1;
                    self.take(Place { priority, before, node }).into_iter().for_each(&mut each);
                } else {
                    first_ns = Some(first_ns.map_or(due_ns, |first_ns| first_ns.min(due_ns)));
                    before = node;
                }
                node = next;
            }
        }
        first_ns
    }

    /// The first node of a list for which `accepts` returns true.
    fn find(&self, priority: Priority, accepts: impl Fn(&Node<T>) -> bool) -> Option<Place> {
        let (mut before, mut node) = (NONE, self.lists[priority.index()].first);
        while node != NONE {
            if accepts(self.node(node)) {
                return Some(Place { priority, before, node });
            }
            (before, node) = (node, self.node(node).next);
        }
        None
    }

    /// The message at a place, and its priority. The collection must not have changed since the place was found.
    pub fn peek(&self, place: Place) -> Option<(&T, Priority)> {
        self.node(place.node).item.as_ref().map(|item| (item, place.priority))
    }

    /// Takes out the task at a place. The collection must not have changed since the place was found.
    pub fn take(&mut self, place: Place) -> Option<WaitingTask<T>> {
        let Place { priority, before, node } = place;
        let free = Node::free(self.free);
        let Node { item, stamp_ns, ready_ns, next, past } = mem::replace(self.node_mut(node), free);
        self.free = node;
        self.set_next(priority, before, next);
        if next == NONE {
            self.lists[priority.index()].last = before;
        }
        self.depths[priority.index()].now -= 1;
        Some(WaitingTask { item: item?, priority, stamp_ns, ready_ns, past })
    }

    // ---- Nodes -----------------------------------------------------------------------------------------

    fn node(&self, link: Link) -> &Node<T> {
        &self.nodes[link as usize - 1]
    }

    fn node_mut(&mut self, link: Link) -> &mut Node<T> {
        &mut self.nodes[link as usize - 1]
    }

    /// The node after `before` in a list; the first one if `before` is none.
    fn next_of(&self, priority: Priority, before: Link) -> Link {
        if before == NONE { self.lists[priority.index()].first } else { self.node(before).next }
    }

    fn set_next(&mut self, priority: Priority, before: Link, next: Link) {
        if before == NONE {
            self.lists[priority.index()].first = next;
        } else {
            self.node_mut(before).next = next;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
