//! A map that threads share. What is in it belongs to no universe: values are kept as they cross.

use super::landed_again;
use crate::vm::Value;
use crate::vm::copy::{Message, Plain};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A map, which several threads hold. Each of its methods is one step for all of them.
#[derive(Default)]
pub(crate) struct Map {
    /// What is in it.
    entries: RwLock<HashMap<Key, Stored>>,
}

/// What a value is found by. A float that is an integer is that integer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Key {
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// The bits of any other number.
    Float(u64),
    /// A string.
    String(Box<[u8]>),
}

/// A value in the map.
#[derive(Clone)]
pub(crate) enum Stored {
    /// A value in which nothing else is; not nil.
    Plain(Plain),
    /// Any other.
    Message(Arc<Message>),
}

impl Key {
    /// The key that a value is; `None` for nil and for what is no number.
    pub(crate) fn new(plain: Plain) -> Option<Key> {
        /// What no integer reaches.
        const BEYOND: f64 = 9_223_372_036_854_775_808.0;
        match plain {
            Plain::Nil => None,
            Plain::Boolean(boolean) => Some(Key::Boolean(boolean)),
            Plain::Integer(integer) => Some(Key::Integer(integer)),
            Plain::Float(float) if float.is_nan() => None,
            Plain::Float(float) if float.fract() == 0.0 && (-BEYOND..BEYOND).contains(&float) =>
            {
                #[expect(clippy::cast_possible_truncation, reason = "checked in the line above")]
                Some(Key::Integer(float as i64))
            }
            Plain::Float(float) => Some(Key::Float(float.to_bits())),
            Plain::String(string) => Some(Key::String(string)),
        }
    }

    /// The value that the key is.
    fn to_plain(&self) -> Plain {
        match self {
            Key::Boolean(boolean) => Plain::Boolean(*boolean),
            Key::Integer(integer) => Plain::Integer(*integer),
            Key::Float(bits) => Plain::Float(f64::from_bits(*bits)),
            Key::String(string) => Plain::String(string.clone()),
        }
    }
}

impl Stored {
    /// Is it this value, of which `nil` is none?
    fn is(stored: Option<&Stored>, expected: &Plain) -> bool {
        match stored {
            None => *expected == Plain::Nil,
            Some(Stored::Plain(plain)) => plain.equals(expected),
            Some(Stored::Message(_)) => false,
        }
    }
}

impl From<Stored> for Value {
    fn from(stored: Stored) -> Value {
        match stored {
            Stored::Plain(plain) => plain.into(),
            Stored::Message(message) => landed_again(message),
        }
    }
}

impl Map {
    /// The value there.
    pub(crate) fn get(&self, key: &Key) -> Option<Stored> {
        self.read().get(key).cloned()
    }

    /// Puts a value there, or takes what is there away.
    pub(crate) fn set(&self, key: Key, value: Option<Stored>) {
        let before = put(&mut self.write(), key, value);
        // Only now, outside of the lock: what is dropped may be another map's last hold.
        drop(before);
    }

    /// Adds to the number there, which is 0 where there is nothing; answers the sum. `Err`: what is there is no number.
    pub(crate) fn add(&self, key: Key, number: &Plain) -> Result<Plain, ()> {
        let mut entries = self.write();
        let sum = match entries.get(&key) {
            None => Plain::Integer(0).plus(number),
            Some(Stored::Plain(plain)) => plain.plus(number),
            Some(Stored::Message(_)) => None,
        };
        let sum = sum.ok_or(())?;
        entries.insert(key, Stored::Plain(sum.clone()));
        Ok(sum)
    }

    /// Puts a value there if the one there is `expected`; else answers what is there.
    pub(crate) fn exchange(
        &self,
        key: Key,
        expected: &Plain,
        value: Option<Stored>,
    ) -> Result<(), Option<Stored>> {
        let mut entries = self.write();
        let found = entries.get(&key);
        if !Stored::is(found, expected) {
            return Err(found.cloned());
        }
        let before = put(&mut entries, key, value);
        drop(entries);
        drop(before);
        Ok(())
    }

    /// All keys, in no order.
    pub(crate) fn keys(&self) -> Message {
        let keys: Vec<Plain> = self.read().keys().map(Key::to_plain).collect();
        Message::list(&keys)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.read().len()
    }

    /// The entries, to be looked at.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<Key, Stored>> {
        // Whoever panicked has left each entry whole.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries, to be changed.
    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Key, Stored>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a value at the key, or none; answers the one before.
fn put(entries: &mut HashMap<Key, Stored>, key: Key, value: Option<Stored>) -> Option<Stored> {
    match value {
        Some(value) => entries.insert(key, value),
        None => entries.remove(&key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(integer: i64) -> Stored {
        Stored::Plain(Plain::Integer(integer))
    }

    #[test]
    fn numbers_that_are_equal_are_one_key() {
        assert_eq!(Key::new(Plain::Float(2.0)), Key::new(Plain::Integer(2)));
        assert_eq!(Key::new(Plain::Float(-0.0)), Key::new(Plain::Integer(0)));
        assert_eq!(Key::new(Plain::Float(f64::NAN)), None);
        assert_eq!(Key::new(Plain::Nil), None);
        assert!(matches!(Key::new(Plain::Float(1e300)), Some(Key::Float(_))));
    }

    #[test]
    fn an_exchange_takes_place_only_where_it_is_expected() {
        let map = Map::default();
        let key = || Key::Integer(1);
        assert!(map.exchange(key(), &Plain::Nil, Some(plain(1))).is_ok());
        assert!(map.exchange(key(), &Plain::Nil, Some(plain(2))).is_err());
        assert!(map.exchange(key(), &Plain::Float(1.0), None).is_ok());
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn many_threads_count_together() {
        let map = Map::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        map.add(Key::Integer(1), &Plain::Integer(1)).unwrap();
                    }
                });
            }
        });
        assert_eq!(
            map.add(Key::Integer(1), &Plain::Integer(0)),
            Ok(Plain::Integer(4000))
        );
        map.set(Key::Integer(1), Some(Stored::Plain(Plain::Boolean(true))));
        assert!(map.add(Key::Integer(1), &Plain::Integer(1)).is_err());
    }
}
