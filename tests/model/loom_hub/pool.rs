//! Slots and buffers for all models, one after the other: they are static, so each model must return all of them.

use firstline::hub::egress::buffer::Buffer;
use firstline::hub::egress::outbox::Outbox;
use firstline::limits::IN_FLIGHT;
use firstline::queue::{Chain, Slot, Slots};

/// The slots and the buffer of one outbox.
type Parts = (Slots, &'static mut Buffer);

static POOL: std::sync::Mutex<Vec<Parts>> = std::sync::Mutex::new(Vec::new());

/// Gives an outbox all slots of one connection, and a buffer.
pub fn fill(outbox: &mut Outbox) {
    let pooled = POOL.lock().unwrap().pop();
    let (mut slots, buffer) = pooled.unwrap_or_else(|| {
        let mut slots = Slots::new();
        (0..IN_FLIGHT).for_each(|_| slots.put(Chain::of(Box::leak(Box::new(Slot::EMPTY)))));
        (slots, Box::leak(Box::new(Buffer::new())))
    });
    outbox.attach(buffer);
    outbox.release_all(&mut slots);
}

/// Takes back the slots from an outbox, which must have all of them, each once, and the buffer.
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
    let buffer = outbox.detach().expect("it was filled");
    buffer.clear();
    POOL.lock().unwrap().push((pooled, buffer));
}
