//! `coev.thread.shared`: a map that threads share.

use super::{MODULE, SHARED, answer};
use crate::api::{function, method};
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::thread::{Key, Map, Stored, landed};
use crate::vm::copy::{Plain, Scope, Shared};
use crate::vm::{
    Chapter, Class, ClassDef, Function, Makes, Object, Outcome, Reply, Source, Stack, Value,
};
use std::rc::Rc;
use std::sync::Arc;

/// The class.
pub(super) const CLASS: ClassDef = ClassDef {
    name: c"coev.thread.shared",
    module: MODULE.name,
    methods: &[
        method!(c"add", add),
        method!(c"cas", cas),
        method!(c"get", get),
        method!(c"keys", keys),
        method!(c"len", len),
        method!(c"same", same),
        method!(c"set", set),
    ],
    tostring: &function!(c"tostring", tostring),
};

/// Makes one.
pub(super) const NEW: Function = function!(c"thread_shared", new);

/// What of it is better said in Lua.
pub(in crate::api) const CHAPTER: Chapter = Chapter {
    sources: &[Source {
        name: c"=coev.thread.shared",
        text: include_str!("shared.lua"),
    }],
    makes: Makes {
        fields: &[],
        natives: &[c"add_shared"],
    },
    completes_tasks: false,
};

/// A map as Lua holds it.
struct MapEnd(Arc<Map>);

/// The arguments, by position.
mod slot {
    /// The map.
    pub(super) const SELF: i32 = 1;
    /// The key.
    pub(super) const KEY: i32 = 2;
    /// The value of `set`, the number of `add`.
    pub(super) const VALUE: i32 = 3;
    /// The value that `cas` expects.
    pub(super) const EXPECTED: i32 = 3;
    /// The value that `cas` puts there.
    pub(super) const DESIRED: i32 = 4;
    /// The map that `same` compares with.
    pub(super) const OTHER: i32 = 2;
}

impl Object for MapEnd {
    fn share(&self) -> Option<Arc<dyn Shared>> {
        Some(Arc::clone(&self.0) as Arc<dyn Shared>)
    }
}

impl Shared for Map {
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>) {
        (SHARED, Rc::new(MapEnd(self)))
    }
}

/// The map at `slot`.
fn map(stack: &Stack, slot: i32) -> Result<Rc<MapEnd>, Fault> {
    stack.object::<MapEnd>(slot, &[SHARED], "coev.thread.shared")
}

/// The key.
fn read_key(stack: &Stack) -> Result<Key, Fault> {
    let plain = stack.plain(slot::KEY);
    plain.and_then(Key::new).ok_or_else(|| {
        if stack.is_numeric(slot::KEY) {
            Fault::argument(slot::KEY, "the key is not a number")
        } else {
            stack.expected(slot::KEY, "string, number or boolean")
        }
    })
}

/// A value to be kept; nil is none.
fn read_value(runtime: &Runtime, stack: &Stack, slot: i32) -> Result<Option<Stored>, Fault> {
    match stack.plain(slot) {
        Some(Plain::Nil) => Ok(None),
        Some(plain) => Ok(Some(Stored::Plain(plain))),
        None => {
            let limits = runtime.limits.get();
            let name = format!("arg {}", slot - slot::SELF);
            let message = stack.copy_one(slot, &name, Scope::Kept, &limits)?;
            Ok(Some(Stored::Message(Arc::new(message))))
        }
    }
}

/// `thread_shared()`
fn new(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer(Value::Object(SHARED, Rc::new(MapEnd(Arc::default()))))
}

/// `map:get(key)`
fn get(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let map = map(stack, slot::SELF)?;
    let stored = map.0.get(&read_key(stack)?);
    answer(stored.map_or(Value::Nil, Value::from))
}

/// `map:set(key, value)`
fn set(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let map = map(stack, slot::SELF)?;
    let (key, value) = (read_key(stack)?, read_value(runtime, stack, slot::VALUE)?);
    map.0.set(key, value);
    Ok(Outcome::Reply(Reply::none()))
}

/// `map:add(key [, number=1])` → the sum
fn add(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let map = map(stack, slot::SELF)?;
    let key = read_key(stack)?;
    let number = match stack.plain(slot::VALUE) {
        Some(Plain::Nil) => Plain::Integer(1),
        Some(number @ (Plain::Integer(_) | Plain::Float(_))) => number,
        _ => return Err(stack.expected(slot::VALUE, "number")),
    };
    match map.0.add(key, &number) {
        Ok(sum) => answer(sum),
        Err(()) => Err(Fault::argument(slot::KEY, "what is there is not a number")),
    }
}

/// `map:cas(key, expected, desired)` → true, or false and what is there
fn cas(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let map = map(stack, slot::SELF)?;
    let key = read_key(stack)?;
    let Some(expected) = stack.plain(slot::EXPECTED) else {
        let what = "nil, boolean, number or string";
        return Err(stack.expected(slot::EXPECTED, what));
    };
    let desired = read_value(runtime, stack, slot::DESIRED)?;
    Ok(Outcome::Reply(
        match map.0.exchange(key, &expected, desired) {
            Ok(()) => Reply::one(true),
            Err(found) => Reply::two(false, found.map_or(Value::Nil, Value::from)),
        },
    ))
}

/// `map:keys()` → an array
fn keys(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    answer(landed(map(stack, slot::SELF)?.0.keys()))
}

/// `map:len()`
fn len(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let len = map(stack, slot::SELF)?.0.len();
    answer(i64::try_from(len).unwrap_or(i64::MAX))
}

/// `map:same(other)`: are both the same map?
fn same(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let (first, second) = (map(stack, slot::SELF)?, map(stack, slot::OTHER)?);
    answer(Arc::ptr_eq(&first.0, &second.0))
}

/// `tostring(map)`
fn tostring(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let map = map(stack, slot::SELF)?;
    let address = Arc::as_ptr(&map.0).addr();
    answer(format!("coev.thread.shared: {address:#x}"))
}
