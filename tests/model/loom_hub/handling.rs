//! Tasks: senders admit them, the workers of handlers give them, end them and lose them, and the acceptor's thread runs
//! the deadlines. The table is the real one. What the threads do after they have unlocked it is modelled as in
//! `handling::shared`: they wake the handlers that are free.

use crate::wakes::EventFd;
use crate::{make, model, spawn};
use firstline::conn_id::ConnId;
use firstline::hub::handling::entry::TaskKey;
use firstline::hub::handling::fate::{Ended, Fate, Rules};
use firstline::hub::handling::handlers::ConnIds;
use firstline::hub::handling::table::TaskTable;
use firstline::limits::TASK_PAUSE_MS;
use firstline::protocol::Priority;
use firstline::protocol::handler_text::HandlerText;
use firstline::queue::{Order, TaskId};
use firstline::sync::{Bitmap, Mutex, MutexGuard};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};

const A: ConnId = ConnId::new(0);
const B: ConnId = ConnId::new(1);

type Table = TaskTable<u32, 4>;

/// Tasks never wait too long, and a second handler may have each.
const RULES: Rules = Rules { wait_ns: 1 << 40, time_ns: 1 << 40, limit_ns: 1 << 40, attempts: 2 };

/// The table, what wakes the workers of the handlers A and B, what wakes the acceptor's thread, and the clock.
struct Hub {
    table: Mutex<Box<Table>>,
    connections: Bitmap<1>,
    wakers: [EventFd; 2],
    acceptor: EventFd,
    clock_ns: AtomicU64,
}

impl Hub {
    fn new() -> Arc<Self> {
        make(size_of::<Table>(), || {
            let mut table = Box::new(Table::new());
            table.configure(RULES, Order::STRICT);
            Arc::new(Self {
                table: Mutex::new(table),
                connections: Bitmap::new(),
                wakers: [EventFd::new(), EventFd::new()],
                acceptor: EventFd::new(),
                clock_ns: AtomicU64::new(0),
            })
        })
    }

    /// The time. It differs for every caller, and a thread reads it before it locks the table.
    fn now_ns(&self) -> u64 {
        self.clock_ns.fetch_add(1, Relaxed) + 1
    }

    /// Unlocks the table, and wakes the acceptor's thread if its deadline is earlier, and the workers of the handlers.
    fn release(&self, mut table: MutexGuard<'_, Box<Table>>, handlers: &ConnIds) {
        let is_due_earlier = table.take_due_change();
        drop(table);
        if is_due_earlier {
            self.acceptor.write();
        }
        for conn in handlers {
            if self.connections.insert(conn.index()) {
                self.wakers[conn.index()].write();
            }
        }
    }

    fn admit(&self, item: u32, priority: Priority) {
        let now_ns = self.now_ns();
        let mut table = self.table.lock();
        table.admit(item, priority, now_ns).unwrap();
        let free = table.handlers().free_for(priority);
        self.release(table, &free);
    }

    fn set_handler(&self, conn: ConnId) {
        self.table.lock().set_handler(conn, Priority::MIN, 1).unwrap();
    }

    fn give(&self, key: TaskKey, now_ns: u64) -> Option<u32> {
        let mut item = None;
        self.table.lock().give(key, now_ns, |offer| {
            item = Some(*offer.item);
            true
        });
        item
    }

    /// Ends a task that its handler has not done.
    fn end(&self, end: impl FnOnce(&mut Table) -> Option<Fate<u32>>) -> Option<Fate<u32>> {
        let mut table = self.table.lock();
        let fate = end(&mut table);
        let free = match fate {
            Some(Fate::PutBack(priority)) => table.handlers().free_for(priority),
            Some(Fate::Paused | Fate::Refused(..)) | None => ConnIds::new(),
        };
        self.release(table, &free);
        fate
    }

    fn finish(&self, key: TaskKey) -> Option<(u32, TaskId)> {
        let done = self.table.lock().finish(key, HandlerText::NONE, 1)?;
        Some((done.item, done.task.unwrap()))
    }

    /// As the delivery: frees the entry of a task that is done.
    fn acknowledge(&self, id: TaskId) {
        let mut table = self.table.lock();
        let (_, lacking) = table.release(id, 1);
        self.release(table, &lacking);
    }

    /// As the worker of a handler that has one task at a time: gives it `count` tasks in all. `end` ends each.
    fn serve(&self, conn: ConnId, first: u64, count: u64, mut end: impl FnMut(TaskKey, u32)) {
        let (index, mut number) = (conn.index(), first);
        let mut is_runnable = true;
        while number < first + count {
            let mut now_ns = self.now_ns();
            if !is_runnable {
                self.wakers[index].wait();
                // A worker reads the clock before it takes its wakeups.
                now_ns = self.now_ns();
                self.connections.drain(index, index + 1, |_| is_runnable = true);
            }
            let key = TaskKey { conn, number };
            match is_runnable.then(|| self.give(key, now_ns)).flatten() {
                Some(item) => {
                    end(key, item);
                    number += 1;
                }
                None => is_runnable = false,
            }
        }
    }
}

#[test]
fn free_handler_gets_every_task_once() {
    model(2, || {
        let hub = Hub::new();
        let sender = spawn(&hub, |hub| {
            hub.admit(1, Priority::NORMAL);
            hub.admit(2, Priority::URGENT);
        });
        let handler = spawn(&hub, |hub| {
            hub.set_handler(A);
            let mut items = Vec::new();
            hub.serve(A, 1, 2, |key, item| {
                let (done, id) = hub.finish(key).unwrap();
                assert_eq!((done, hub.finish(key)), (item, None));
                hub.acknowledge(id);
                items.push(item);
            });
            items
        });
        sender.join().unwrap();
        let mut items = handler.join().unwrap();
        items.sort_unstable();
        assert_eq!((items, hub.table.lock().unfinished()), (vec![1, 2], 0));
    });
}

#[test]
fn task_of_a_lost_handler_goes_to_another_one_that_is_free() {
    model(2, || {
        let hub = Hub::new();
        hub.set_handler(A);
        hub.admit(1, Priority::NORMAL);
        assert_eq!(hub.give(TaskKey { conn: A, number: 1 }, hub.now_ns()), Some(1));
        let loser = spawn(&hub, |hub| {
            let now_ns = hub.now_ns();
            assert!(matches!(hub.end(|table| table.lose(A, Ended::Lost, now_ns)), Some(Fate::PutBack(_))));
            assert_eq!(hub.end(|table| table.lose(A, Ended::Lost, now_ns)), None);
        });
        let other = spawn(&hub, |hub| {
            hub.set_handler(B);
            hub.serve(B, 1, 1, |key, item| assert_eq!(hub.finish(key).map(|(done, _)| done), Some(item)));
        });
        loser.join().unwrap();
        other.join().unwrap();
        assert_eq!(hub.table.lock().unfinished(), 0);
    });
}

#[test]
fn task_that_is_put_back_for_a_while_comes_again_when_its_pause_is_over() {
    model(2, || {
        let hub = Hub::new();
        hub.set_handler(A);
        hub.admit(1, Priority::NORMAL);
        let handler = spawn(&hub, |hub| {
            let mut times = 0;
            hub.serve(A, 1, 2, |key, item| {
                times += 1;
                assert_eq!(item, 1);
                if times == 1 {
                    let now_ns = hub.now_ns();
                    assert_eq!(hub.end(|table| table.end(key, Ended::Later, now_ns)), Some(Fate::Paused));
                } else {
                    assert!(hub.finish(key).is_some());
                }
            });
        });
        // As the acceptor's thread: waits until a deadline is earlier, and then until the pause is over.
        let acceptor = spawn(&hub, |hub| {
            let mut is_over = false;
            while !is_over {
                hub.acceptor.wait();
                let due_ns = hub.table.lock().due_ns();
                let pause_end_ns = due_ns.filter(|due_ns| *due_ns < RULES.wait_ns);
                if let Some(due_ns) = pause_end_ns {
                    assert!(due_ns > TASK_PAUSE_MS * 1_000_000);
                    hub.clock_ns.fetch_max(due_ns, Relaxed);
                    let mut table = hub.table.lock();
                    let ready = table.run_deadlines(due_ns, &mut heapless::Vec::new());
                    table.take_due_change();
                    hub.release(table, &ready);
                    is_over = true;
                }
            }
        });
        handler.join().unwrap();
        acceptor.join().unwrap();
        assert_eq!(hub.table.lock().unfinished(), 0);
    });
}

#[test]
fn shutdown_and_the_handler_end_a_task_once_between_them() {
    model(3, || {
        let hub = Hub::new();
        hub.set_handler(A);
        hub.admit(1, Priority::NORMAL);
        hub.admit(2, Priority::NORMAL);
        assert_eq!(hub.give(TaskKey { conn: A, number: 1 }, hub.now_ns()), Some(1));
        let handler = spawn(&hub, |hub| {
            let done = hub.finish(TaskKey { conn: A, number: 1 }).map(|(item, _)| item);
            hub.give(TaskKey { conn: A, number: 2 }, hub.now_ns());
            let now_ns = hub.now_ns();
            let refused = match hub.end(|table| table.lose(A, Ended::Lost, now_ns)) {
                Some(Fate::Refused(item, _)) => Some(item),
                Some(Fate::PutBack(_) | Fate::Paused) | None => None,
            };
            vec![done, refused]
        });
        let shutdown = spawn(&hub, |hub| {
            hub.table.lock().drain();
            let take_waiting = || hub.table.lock().take_waiting().map(|(item, _)| item);
            let waiting = take_waiting();
            let given = hub.table.lock().take_given().map(|(item, ..)| item);
            vec![waiting, given, take_waiting()]
        });
        let ends = [handler.join().unwrap(), shutdown.join().unwrap()].concat();
        let mut ended: Vec<u32> = ends.into_iter().flatten().collect();
        ended.sort_unstable();
        assert_eq!((ended, hub.table.lock().unfinished()), (vec![1, 2], 0));
    });
}
