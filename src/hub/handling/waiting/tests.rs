use super::*;
use proptest::prelude::*;

const CAPACITY: usize = 16;

type Small = WaitingTasks<u32, CAPACITY>;

#[derive(Clone, Debug)]
enum Step {
    /// Admit a message of that priority after that time.
    Push(u8, u64),
    /// Take the next task for handlers of that priority and above.
    Take(u8),
    /// Put back the task that was taken first; it is ready after that time.
    PutBack(u64),
    /// Take the tasks that have waited for that long, at most that many.
    Expire(u64, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..10u8, 0..50u64).prop_map(|(priority, wait)| Step::Push(priority, wait)),
        3 => (0..10u8).prop_map(Step::Take),
        2 => (0..200u64).prop_map(Step::PutBack),
        1 => (0..400u64, 0..CAPACITY).prop_map(|(wait, max)| Step::Expire(wait, max)),
    ];
    prop::collection::vec(step, 0..200)
}

/// A simple, slow model: one list, in which each search looks at every task.
#[derive(Default)]
struct Model {
    waiting: Vec<WaitingTask<u32>>,
}

impl Model {
    fn next(&mut self, order: Order, min: u8, now: u64) -> Option<WaitingTask<u32>> {
        let fits = |task: &WaitingTask<u32>| task.priority.number() >= min && task.ready_ns <= now;
        let best = (0..self.waiting.len())
            .filter(|index| fits(&self.waiting[*index]))
            .max_by_key(|index| order.key(self.waiting[*index].priority, self.waiting[*index].stamp_ns))?;
        Some(self.waiting.remove(best))
    }

    /// Takes the tasks that have waited for that long, the most urgent first, at most `max`.
    fn expire(&mut self, wait: u64, now: u64, max: usize) -> Vec<WaitingTask<u32>> {
        self.waiting.sort_by_key(|task| (core::cmp::Reverse(task.priority), task.stamp_ns));
        let mut expired = Vec::new();
        self.waiting.retain(|task| {
            let is_over = task.ready_ns + wait <= now && expired.len() < max;
            expired.extend(is_over.then_some(*task));
            !is_over
        });
        expired
    }

    fn due(&self, wait: u64, now: u64) -> Option<u64> {
        let due = |task: &WaitingTask<u32>| task.ready_ns + if task.ready_ns > now { 0 } else { wait };
        self.waiting.iter().map(due).min()
    }
}

fn take(tasks: &mut Small, place: Option<Place>) -> Option<WaitingTask<u32>> {
    place.and_then(|place| tasks.take(place))
}

proptest! {
    #[test]
    fn any_steps_give_the_models_order(steps in steps(), aging in prop_oneof![Just(0u64), 1..300u64]) {
        let order = if aging == 0 { Order::STRICT } else { Order::aging(aging) };
        let (mut tasks, mut model) = (Small::new(), Model::default());
        tasks.set_order(order);
        let (mut now, mut stamp, mut serial, mut taken) = (0, 0, 0, Vec::new());
        for step in steps {
            match step {
                Step::Push(number, wait) => {
                    now += wait;
                    serial += 1;
                    let priority = Priority::new(number).unwrap();
                    let pushed = tasks.push(serial, priority, now);
                    prop_assert_eq!(pushed.is_err(), model.waiting.len() == CAPACITY);
                    if pushed.is_ok() {
                        stamp = now.max(stamp + 1);
                        let (stamp_ns, ready_ns) = (stamp, now);
                        model.waiting.push(WaitingTask { item: serial, priority, stamp_ns, ready_ns, past: Past::NONE });
                    }
                }
                Step::Take(min) => {
                    let place = tasks.next(Priority::new(min).unwrap(), now);
                    let task = take(&mut tasks, place);
                    prop_assert_eq!(task, model.next(order, min, now));
                    taken.extend(task);
                }
                Step::PutBack(pause) if !taken.is_empty() => {
                    let mut task = WaitingTask { ready_ns: now + pause, ..taken.remove(0) };
                    task.past.count_return();
                    let put = tasks.put_back(task);
                    prop_assert_eq!(put.is_err(), model.waiting.len() == CAPACITY);
                    if put.is_ok() {
                        model.waiting.push(task);
                    }
                }
                Step::PutBack(_) => {}
                Step::Expire(wait, max) => {
                    let mut expired = Vec::new();
                    let due = tasks.expire(wait, now, max, |task| expired.push(task));
                    prop_assert_eq!(expired, model.expire(wait, now, max));
                    prop_assert_eq!(due, model.due(wait, now));
                }
            }
            prop_assert_eq!(tasks.len(), model.waiting.len());
            prop_assert_eq!(tasks.is_empty(), model.waiting.is_empty());
            for priority in Priority::all() {
                let of = model.waiting.iter().filter(|task| task.priority == priority);
                prop_assert_eq!(tasks.depths()[priority.index()].now as usize, of.clone().count());
                prop_assert_eq!(tasks.oldest_ns()[priority.index()], of.map(|task| task.stamp_ns).min());
            }
        }
    }
}

#[test]
fn task_that_pauses_is_overtaken_and_keeps_its_place() {
    let mut tasks = Small::new();
    for item in 1..=3 {
        tasks.push(item, Priority::NORMAL, 10).unwrap();
    }
    let next = |tasks: &mut Small, now| {
        let place = tasks.next(Priority::MIN, now);
        take(tasks, place)
    };
    let first = next(&mut tasks, 10).unwrap();
    tasks.put_back(WaitingTask { ready_ns: 50, ..first }).unwrap();
    assert_eq!(next(&mut tasks, 49).unwrap().item, 2);
    assert_eq!(next(&mut tasks, 50).unwrap().item, 1);
}
