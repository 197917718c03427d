//! Bounds the number of connections, in all and for each address.

use crate::limits::CONNECTIONS_PER_ADDRESS_MAX;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// The places that are taken, by address.
#[derive(Clone, Debug)]
pub struct Places {
    max: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Places {
    /// `max` places, all free.
    pub fn new(max: usize) -> Self {
        Self { max, taken: Arc::default() }
    }

    /// Takes a place for a connection of that address. Returns `None` if all places are taken, or if the address has
    /// its share.
    pub fn take(&self, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = taken.get(&address).copied().unwrap_or(0);
        let has_share = address.is_loopback() || of_address < CONNECTIONS_PER_ADDRESS_MAX;
        if !has_share || taken.values().sum::<usize>() >= self.max {
            return None;
        }
        taken.insert(address, of_address + 1);
        Some(Place { address, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_cannot_take_all_places() {
        let places = Places::new(CONNECTIONS_PER_ADDRESS_MAX + 2);
        let [host, same, other, local] = ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "127.0.0.1"]
            .map(|address| address.parse().unwrap());
        let taken: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| places.take(host).unwrap()).collect();
        assert!(places.take(host).is_none() && places.take(same).is_none());
        let (_first, _second) = (places.take(other).unwrap(), places.take(local).unwrap());
        assert!(places.take(local).is_none(), "all are taken");
        drop(taken);
        let again: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX).map_while(|_| places.take(host)).collect();
        assert_eq!(again.len(), CONNECTIONS_PER_ADDRESS_MAX, "they came back");
    }
}
