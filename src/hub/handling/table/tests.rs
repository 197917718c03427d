use super::*;
use crate::limits::{TASK_GRAIN_MS, TASKS_MAX};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The room for waiting tasks: more than any test admits.
const CAPACITY: usize = 256;
const A: ConnId = ConnId::new(0);
const B: ConnId = ConnId::new(1);

type Small = TaskTable<u32, CAPACITY>;

/// The unit to which deadlines are rounded up.
const GRAIN: u64 = TASK_GRAIN_MS * 1_000_000;

const RULES: Rules = Rules { wait_ns: 1_000, time_ns: 100, limit_ns: 250, attempts: 2 };

fn table(rules: Rules) -> Box<Small> {
    let mut table = Box::new(Small::new());
    table.configure(rules, Order::STRICT);
    table
}

fn key(conn: ConnId, number: u64) -> TaskKey {
    TaskKey { conn, number }
}

/// Gives a task, and returns its message.
fn give(table: &mut Small, key: TaskKey, now: u64) -> Option<u32> {
    let mut item = None;
    let given = table.give(key, now, |offer| {
        item = Some(*offer.item);
        true
    });
    assert_eq!(given == Given::Task, item.is_some());
    item
}

fn admit(table: &mut Small, item: u32, priority: Priority, now: u64) {
    table.admit(item, priority, now).unwrap();
}

/// The messages that expire, with the reasons for their senders, and the handlers to wake.
fn expire(table: &mut Small, now: u64) -> (std::vec::Vec<(u32, Nak)>, ConnIds) {
    let mut expired = Vec::new();
    let wakes = table.run_deadlines(now, &mut expired);
    (expired.into_iter().collect(), wakes)
}

#[test]
fn urgent_task_comes_first_and_only_as_many_are_given_as_wanted() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::MIN, 2).unwrap();
    for (item, priority) in [(1, Priority::NORMAL), (2, Priority::URGENT), (3, Priority::NORMAL)] {
        admit(&mut table, item, priority, 5);
    }
    assert_eq!(give(&mut table, key(A, 1), 6), Some(2));
    assert_eq!(give(&mut table, key(A, 2), 6), Some(1));
    assert_eq!(give(&mut table, key(A, 3), 6), None);
    let done = table.finish(key(A, 1), HandlerText::new(b"shut"), 9).unwrap();
    assert_eq!((done.item, done.priority), (2, Priority::URGENT));
    assert_eq!(table.release(done.task.unwrap(), 9).0, HandlerText::new(b"shut"));
    assert_eq!(give(&mut table, key(A, 3), 9), Some(3));
}

#[test]
fn task_is_given_although_its_handlers_thread_read_the_clock_before_its_senders_did() {
    let mut table = table(Rules { wait_ns: 1 << 40, ..RULES });
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 10);
    assert_eq!(give(&mut table, key(A, 1), 9), Some(1));
    assert_eq!(table.lose(A, Ended::Lost, 20), Some(Fate::PutBack(Priority::NORMAL)));
    table.set_handler(B, Priority::MIN, 1).unwrap();
    assert_eq!(give(&mut table, key(B, 1), 19), Some(1));
    assert_eq!(table.end(key(B, 1), Ended::Later, 30), Some(Fate::Paused));
    let due = table.due_ns().unwrap();
    assert_eq!(give(&mut table, key(B, 2), 30 + TASK_PAUSE_MS * 1_000_000 - 1), None);
    assert_eq!(expire(&mut table, due), (std::vec::Vec::new(), [B].into_iter().collect()));
    assert_eq!(give(&mut table, key(B, 2), 31), Some(1), "it was woken for this task");
}

#[test]
fn reserved_lane_gets_only_urgent_tasks() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::HIGH, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 5);
    assert_eq!(give(&mut table, key(A, 1), 6), None);
    admit(&mut table, 2, Priority::HIGH, 6);
    assert_eq!(table.handlers().free_for(Priority::HIGH), [A]);
    assert_eq!(give(&mut table, key(A, 1), 6), Some(2));
}

#[test]
fn handler_without_room_gets_nothing_and_the_task_still_waits() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 5);
    assert_eq!(table.give(key(A, 1), 5, |_| false), Given::NoRoom);
    assert_eq!((table.unfinished(), table.status(A).unwrap().given), (1, 0));
    assert_eq!(give(&mut table, key(A, 1), 5), Some(1));
}

#[test]
fn unknown_and_late_numbers_are_not_the_handlers() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 5);
    give(&mut table, key(A, 1), 5);
    for other in [key(A, 0), key(A, 2), key(B, 1)] {
        assert!(table.finish(other, HandlerText::NONE, 5).is_none());
        assert_eq!(table.extend(other, 5), None);
        assert_eq!(table.end(other, Ended::Later, 5), None);
    }
    assert!(table.finish(key(A, 1), HandlerText::NONE, 5).is_some());
    assert!(table.finish(key(A, 1), HandlerText::NONE, 5).is_none(), "it is done already");
}

#[test]
fn time_can_be_extended_up_to_the_limit() {
    let mut table = table(Rules { attempts: 1, ..RULES });
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 0);
    give(&mut table, key(A, 1), 0);
    assert_eq!(table.time_out(A, 99), None);
    assert_eq!(table.extend(key(A, 1), 90), Some(100));
    assert_eq!(table.extend(key(A, 1), 189), Some(61), "250 in all");
    assert_eq!(table.status(A), Some(Status { given: 1, due_ns: Some(250) }));
    assert_eq!(table.time_out(A, 249), None);
    assert_eq!(table.time_out(A, 250), Some(Fate::Refused(1, Nak::HandlerTimeout)));
}

#[test]
fn handler_that_exceeds_a_time_gets_nothing_until_its_next_command() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 0);
    give(&mut table, key(A, 1), 0);
    assert_eq!(table.time_out(A, 100), Some(Fate::PutBack(Priority::NORMAL)));
    assert_eq!(give(&mut table, key(A, 2), 100), None);
    table.note_word(A);
    assert_eq!(give(&mut table, key(A, 2), 100), Some(1));
}

#[test]
fn lost_handlers_tasks_come_back_at_their_old_place_until_no_attempt_is_left() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 0);
    admit(&mut table, 2, Priority::NORMAL, 1);
    give(&mut table, key(A, 1), 1);
    assert_eq!(table.lose(A, Ended::Lost, 2), Some(Fate::PutBack(Priority::NORMAL)));
    assert_eq!((table.lose(A, Ended::Lost, 2), table.status(A)), (None, None));
    table.set_handler(B, Priority::MIN, 1).unwrap();
    assert_eq!(give(&mut table, key(B, 1), 3), Some(1), "before the one that was admitted later");
    assert_eq!(table.lose(B, Ended::Lost, 4), Some(Fate::Refused(1, Nak::HandlerLost)));
    assert_eq!(table.lose(B, Ended::Lost, 4), None);
}

#[test]
fn task_that_is_given_back_pauses_and_wakes_a_handler_then() {
    let mut table = table(Rules { wait_ns: 1 << 40, ..RULES });
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 0);
    give(&mut table, key(A, 1), 0);
    assert!(table.take_due_change());
    assert_eq!(table.end(key(A, 1), Ended::Later, 10), Some(Fate::Paused));
    let ready = 10 + TASK_PAUSE_MS * 1_000_000;
    assert!(table.take_due_change());
    let due = table.due_ns().unwrap();
    assert_eq!(due, ready.next_multiple_of(GRAIN));
    assert_eq!(give(&mut table, key(A, 2), ready - 1), None);
    assert!(expire(&mut table, due - 1).1.is_empty());
    assert_eq!(expire(&mut table, due), (vec![], ConnIds::from_slice(&[A]).unwrap()));
    assert_eq!(give(&mut table, key(A, 2), due), Some(1));
}

#[test]
fn message_that_no_handler_takes_expires() {
    let mut table = table(Rules { wait_ns: GRAIN, ..RULES });
    admit(&mut table, 1, Priority::NORMAL, 0);
    admit(&mut table, 2, Priority::URGENT, 1);
    assert!(table.take_due_change() && !table.take_due_change());
    assert_eq!(table.due_ns(), Some(GRAIN));
    assert!(expire(&mut table, GRAIN - 1).0.is_empty());
    assert_eq!(expire(&mut table, GRAIN).0, [(1, Nak::NoHandler)]);
    assert_eq!(table.due_ns(), Some(2 * GRAIN));
    assert_eq!(expire(&mut table, 2 * GRAIN).0, [(2, Nak::NoHandler)]);
    assert_eq!((table.due_ns(), table.unfinished()), (None, 0));
}

#[test]
fn deadlines_that_are_close_to_each_other_are_run_together() {
    let mut table = table(Rules { wait_ns: 1, ..RULES });
    for item in 0..9 {
        admit(&mut table, item, Priority::NORMAL, GRAIN + 100 * u64::from(item));
        assert_eq!(table.take_due_change(), item == 0, "one wake-up for all");
    }
    assert_eq!(table.due_ns(), Some(2 * GRAIN));
    assert_eq!(expire(&mut table, 2 * GRAIN).0.len(), 9);
    assert_eq!(table.due_ns(), None);
}

#[test]
fn more_messages_than_a_batch_expire_without_a_pause_and_the_urgent_ones_first() {
    let mut table = table(RULES);
    let urgent = (BATCH + 1) as u32;
    (1..=urgent).for_each(|item| {
        let priority = if item == urgent { Priority::URGENT } else { Priority::NORMAL };
        admit(&mut table, item, priority, 0);
    });
    let first = expire(&mut table, GRAIN).0;
    assert_eq!((first.len(), first[0], first[1]), (BATCH, (urgent, Nak::NoHandler), (1, Nak::NoHandler)));
    assert!(table.due_ns().is_some_and(|due| due <= GRAIN), "the others are due now");
    assert_eq!(expire(&mut table, GRAIN).0, [(BATCH as u32, Nak::NoHandler)]);
}

#[test]
fn message_that_a_handler_lost_is_never_told_as_not_done() {
    let lost = |why: Ended| {
        let mut table = table(Rules { attempts: 9, ..RULES });
        table.set_handler(A, Priority::MIN, 1).unwrap();
        admit(&mut table, 1, Priority::NORMAL, 0);
        give(&mut table, key(A, 1), 0);
        assert_eq!(table.end(key(A, 1), why, 0), Some(Fate::PutBack(Priority::NORMAL)));
        table
    };
    for (why, nak) in [(Ended::Lost, Nak::HandlerLost), (Ended::TimedOut, Nak::HandlerTimeout)] {
        assert_eq!(expire(&mut lost(why), GRAIN).0, [(1, nak)], "no handler");

        let mut refused = lost(why);
        give(&mut refused, key(A, 2), 0);
        assert_eq!(refused.end(key(A, 2), Ended::Refused, 0), Some(Fate::Refused(1, nak)));
        assert_eq!(refused.stats().events()[Priority::NORMAL.index()][TaskEvent::Refused as usize], 1);

        let mut waiting = lost(why);
        waiting.drain();
        assert_eq!(waiting.take_waiting(), Some((1, nak)));

        let mut given = lost(why);
        give(&mut given, key(A, 2), 0);
        given.drain();
        assert_eq!(given.take_given(), Some((1, nak, A)));

        let mut left = lost(why);
        give(&mut left, key(A, 2), 0);
        left.drain();
        assert_eq!(left.lose(A, Ended::Left, 0), Some(Fate::Refused(1, nak)));
    }
}

#[test]
fn draining_table_takes_and_gives_nothing() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::MIN, 2).unwrap();
    (1..=3).for_each(|item| admit(&mut table, item, Priority::NORMAL, 0));
    give(&mut table, key(A, 1), 0);
    give(&mut table, key(A, 2), 0);
    table.drain();
    assert_eq!(table.admit(4, Priority::NORMAL, 0), Err(4));
    assert_eq!((table.take_waiting(), table.take_waiting()), (Some((3, Nak::ShuttingDown)), None));
    assert_eq!(table.end(key(A, 1), Ended::Later, 1), Some(Fate::Refused(1, Nak::ShuttingDown)));
    assert_eq!(give(&mut table, key(A, 3), 1), None);
    assert_eq!(table.take_given(), Some((2, Nak::HandlerLost, A)), "it may be done");
    assert_eq!((table.take_given(), table.unfinished()), (None, 0));
}

#[test]
fn handler_that_got_nothing_for_lack_of_an_entry_is_woken() {
    let mut table = table(Rules { wait_ns: 1 << 40, ..RULES });
    table.set_handler(A, Priority::MIN, 1).unwrap();
    let mut done = std::vec::Vec::new();
    for number in 1..=TASKS_MAX as u64 {
        admit(&mut table, number as u32, Priority::NORMAL, 0);
        give(&mut table, key(A, number), 0).unwrap();
        done.push(table.finish(key(A, number), HandlerText::NONE, 0).unwrap());
    }
    admit(&mut table, 0, Priority::NORMAL, 0);
    assert_eq!(give(&mut table, key(A, 1), 0), None, "the sinks have not taken what is done");
    assert_eq!(table.release(done[7].task.unwrap(), 0).1, [A]);
    assert_eq!(table.release(done[8].task.unwrap(), 0).1, []);
    assert_eq!(give(&mut table, key(A, 1), 0), Some(0));
}

#[test]
fn handler_without_an_entry_is_woken_by_a_thread_that_read_the_clock_before_the_sender_did() {
    let mut table = table(Rules { wait_ns: 1 << 40, ..RULES });
    table.set_handler(A, Priority::MIN, 1).unwrap();
    let mut done = None;
    for number in 1..=TASKS_MAX as u64 {
        admit(&mut table, number as u32, Priority::NORMAL, 0);
        give(&mut table, key(A, number), 0).unwrap();
        done = table.finish(key(A, number), HandlerText::NONE, 0);
    }
    admit(&mut table, 0, Priority::NORMAL, 10);
    assert_eq!(give(&mut table, key(A, 1), 10), None);
    assert_eq!(table.release(done.unwrap().task.unwrap(), 9).1, [A]);
}

#[test]
fn task_whose_time_ended_before_is_late() {
    let mut table = table(RULES);
    table.set_handler(A, Priority::MIN, 1).unwrap();
    admit(&mut table, 1, Priority::NORMAL, 0);
    give(&mut table, key(A, 1), 0);
    assert!(!table.is_late(100));
    assert!(table.is_late(101));
    admit(&mut table, 2, Priority::NORMAL, 0);
    table.time_out(A, 101);
    assert!(!table.is_late(1 << 60), "the thread that asks ends tasks that wait");
}

// ---- Any steps -----------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    Admit(u8),
    Handle(usize, u8, usize),
    Stop(usize),
    Give(usize),
    End(usize, Option<Ended>),
    Lose(usize),
    Pass(u64),
    Release,
}

fn steps() -> impl Strategy<Value = std::vec::Vec<Step>> {
    let ended = prop_oneof![Just(None), Just(Some(Ended::Refused)), Just(Some(Ended::Later))];
    let step = prop_oneof![
        4 => (0..10u8).prop_map(Step::Admit),
        1 => (0..3usize, 0..10u8, 1..4usize).prop_map(|(conn, min, count)| Step::Handle(conn, min, count)),
        1 => (0..3usize).prop_map(Step::Stop),
        4 => (0..3usize).prop_map(Step::Give),
        4 => (0..8usize, ended).prop_map(|(which, ended)| Step::End(which, ended)),
        1 => (0..3usize).prop_map(Step::Lose),
        2 => prop_oneof![1..200u64, Just(GRAIN)].prop_map(Step::Pass),
        1 => Just(Step::Release),
    ];
    prop::collection::vec(step, 0..200)
}

/// A message that a handler has.
#[derive(Clone, Copy)]
struct WithHandler {
    conn: usize,
    number: u64,
    item: u32,
    priority: Priority,
    due: u64,
}

const ATTEMPTS: u8 = 3;

/// Where each message is, by its number.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<u32, Priority>,
    given: std::vec::Vec<WithHandler>,
    done: std::vec::Vec<TaskId>,
    losses: BTreeMap<u32, u8>,
    /// How each message was lost last.
    last_losses: BTreeMap<u32, Nak>,
    wants: BTreeMap<usize, (Priority, usize)>,
}

impl Model {
    /// The reason for the sender of a message that ends as not done: a handler that lost it may have done it.
    fn reason(&self, item: u32, reason: Nak) -> Nak {
        self.last_losses.get(&item).copied().unwrap_or(reason)
    }

    /// Removes the messages that are lost, for that reason, from their handlers. Returns for each whether its sender
    /// gets a NAK.
    fn lose(&mut self, reason: Nak, is_lost: impl Fn(&WithHandler) -> bool) -> BTreeMap<u32, bool> {
        let lost: std::vec::Vec<WithHandler> =
            self.given.iter().filter(|task| is_lost(task)).copied().collect();
        self.given.retain(|task| !is_lost(task));
        let mut is_refused = BTreeMap::new();
        for task in lost {
            let losses = self.losses.entry(task.item).or_default();
            *losses += 1;
            self.last_losses.insert(task.item, reason);
            is_refused.insert(task.item, *losses >= ATTEMPTS);
            if *losses < ATTEMPTS {
                self.waiting.insert(task.item, task.priority);
            }
        }
        is_refused
    }

    /// Compares the fates of tasks in the table with those in the model.
    fn check(lost: &BTreeMap<u32, bool>, fates: impl Iterator<Item = Fate<u32>>) {
        let fates: std::vec::Vec<Fate<u32>> = fates.collect();
        assert_eq!(fates.len(), lost.len());
        let refused = fates.iter().filter_map(|fate| match fate {
            Fate::Refused(item, _) => Some(*item),
            Fate::PutBack(_) => None,
            Fate::Paused => panic!("no handler gave it back"),
        });
        let mut refused: std::vec::Vec<u32> = refused.collect();
        refused.sort_unstable();
        assert!(lost.iter().filter(|(_, is_refused)| **is_refused).map(|(item, _)| *item).eq(refused));
    }

    fn admit(&mut self, table: &mut Small, item: u32, priority: Priority, now: u64) {
        admit(table, item, priority, now);
        self.waiting.insert(item, priority);
    }

    fn give(&mut self, table: &mut Small, conn: usize, number: u64, now: u64) {
        let best = |min| self.waiting.values().filter(|priority| **priority >= min).max().copied();
        if let Some(item) = give(table, key(ConnId::new(conn), number), now) {
            let (min, count) = self.wants[&conn];
            assert!(self.given.iter().filter(|task| task.conn == conn).count() < count);
            let priority = self.waiting[&item];
            // A task that pauses may be more urgent.
            assert!(priority >= min && best(min) >= Some(priority));
            self.waiting.remove(&item);
            self.given.push(WithHandler { conn, number, item, priority, due: now + RULES.time_ns });
        }
    }

    fn end(&mut self, table: &mut Small, which: usize, ended: Option<Ended>, now: u64) {
        if which >= self.given.len() {
            return;
        }
        let WithHandler { conn, number, item, priority, .. } = self.given.remove(which);
        let key = key(ConnId::new(conn), number);
        let Some(why) = ended else {
            let done = table.finish(key, HandlerText::NONE, now).unwrap();
            assert_eq!((done.item, done.priority), (item, priority));
            return self.done.extend(done.task);
        };
        match table.end(key, why, now).unwrap() {
            Fate::PutBack(_) => panic!("{why:?} pauses it"),
            Fate::Paused => {
                assert_eq!(why, Ended::Later);
                self.waiting.insert(item, priority);
            }
            Fate::Refused(refused, reason) => {
                assert_eq!((refused, reason), (item, self.reason(item, Nak::HandlerRefused)));
            }
        }
    }

    fn pass(&mut self, table: &mut Small, now: u64) {
        for (item, reason) in expire(table, now).0 {
            assert!(self.waiting.remove(&item).is_some());
            assert_eq!(reason, self.reason(item, Nak::NoHandler));
        }
        for conn in 0..3 {
            let lost = self.lose(Nak::HandlerTimeout, |task| task.conn == conn && task.due <= now);
            Self::check(&lost, core::iter::from_fn(|| table.time_out(ConnId::new(conn), now)));
        }
    }
}

proptest! {
    /// After any steps, every message is in exactly one place, and no handler has more tasks than it wants.
    #[test]
    fn no_message_is_lost_or_doubled(steps in steps()) {
        let mut table = table(Rules { attempts: ATTEMPTS, ..RULES });
        let (mut model, mut now, mut serial) = (Model::default(), 0, 0);
        for step in steps {
            serial += 1;
            match step {
                Step::Admit(number) => model.admit(&mut table, serial, Priority::new(number).unwrap(), now),
                Step::Handle(conn, min, count) => {
                    let min = Priority::new(min).unwrap();
                    table.set_handler(ConnId::new(conn), min, count).unwrap();
                    model.wants.insert(conn, (min, count));
                }
                Step::Stop(conn) => {
                    table.stop_handler(ConnId::new(conn));
                    model.wants.remove(&conn);
                }
                Step::Give(conn) => model.give(&mut table, conn, serial.into(), now),
                Step::End(which, ended) => model.end(&mut table, which, ended, now),
                Step::Lose(conn) => {
                    model.wants.remove(&conn);
                    let lost = model.lose(Nak::HandlerLost, |task| task.conn == conn);
                    Model::check(&lost, core::iter::from_fn(|| table.lose(ConnId::new(conn), Ended::Lost, now)));
                }
                Step::Pass(time) => {
                    now += time;
                    model.pass(&mut table, now);
                }
                Step::Release => {
                    model.done.pop().map(|id| table.release(id, now));
                }
            }
            prop_assert_eq!(table.unfinished(), model.waiting.len() + model.given.len());
            prop_assert_eq!(table.waiting().len(), model.waiting.len());
        }
    }
}
