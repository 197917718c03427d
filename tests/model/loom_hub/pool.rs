//! Slots for all models, one after the other: slots are static, so each model must return all of them.

use firstline::hub::egress::outbox::Outbox;
use firstline::limits::IN_FLIGHT;
use firstline::queue::{Chain, Slot, Slots};

static POOL: std::sync::Mutex<Vec<Slots>> = std::sync::Mutex::new(Vec::new());

/// All slots of one connection.
pub fn take() -> Slots {
    let pooled = POOL.lock().unwrap().pop();
    pooled.unwrap_or_else(|| {
        let mut slots = Slots::new();
        (0..IN_FLIGHT).for_each(|_| slots.put(Chain::of(Box::leak(Box::new(Slot::EMPTY)))));
        slots
    })
}

/// Takes back the slots from an outbox, which must have all of them, each once.
pub fn put_back(outbox: &mut Outbox) {
    let mut slots = Slots::new();
    assert!(outbox.is_quiescent());
    outbox.grant(&mut slots);
    let (mut addresses, mut pooled) = (Vec::new(), Slots::new());
    while let Some(slot) = slots.pop() {
        addresses.push(&raw const *slot);
        pooled.put(Chain::of(slot));
    }
    addresses.sort_unstable();
    addresses.dedup();
    assert_eq!(addresses.len(), IN_FLIGHT);
    POOL.lock().unwrap().push(pooled);
}
