//! Numbers for what has been seen before. Knows only addresses.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::os::raw::c_void;

/// Numbers for addresses, in the order in which they come.
#[derive(Default)]
pub(super) struct Seen {
    /// The first ones.
    first: SmallVec<[*const c_void; FEW]>,
    /// All of them, once they are more than a few.
    all: FxHashMap<usize, u32>,
}

/// So many addresses are found faster one by one than by a hash.
const FEW: usize = 8;
impl Seen {
    /// The number of the address; `None` when it is new, and gets the next one.
    #[inline]
    pub(super) fn find_or_add(&mut self, pointer: *const c_void) -> Option<u32> {
        if self.all.is_empty() {
            if let Some(place) = self.first.iter().position(|seen| *seen == pointer) {
                return u32::try_from(place).ok();
            }
            if self.first.len() < FEW {
                self.first.push(pointer);
                return None;
            }
            for (seen, number) in self.first.iter().zip(0..) {
                self.all.insert(seen.addr(), number);
            }
        }
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        match self.all.entry(pointer.addr()) {
            std::collections::hash_map::Entry::Occupied(entry) => Some(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(next);
                None
            }
        }
    }
}
