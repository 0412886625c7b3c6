//! What has owners or permits: `coev.mutex`, `coev.semaphore`, `coev.rwlock`.

use super::{answer, count, made, opt_count, slot, wait};
use crate::api::method;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::runtime::sync::{Kind, Mutex, Owner, Rwlock, Semaphore, Waitable, Wish};
use crate::runtime::sync::{acquire, lock, release, unlock};
use crate::vm::{AtOnce, Function, Outcome, Quick, Reply, Stack, State, Value, entry_quick};
use std::rc::Rc;

/// Makes questions of short ways: functions of their own, since one that is called from two places is not inlined.
macro_rules! questions {
    ($($name:ident => $short:ident;)+) => {
        $(
            #[doc = concat!("What compiled code asks before `", stringify!($short), "`.")]
            fn $name(runtime: &Runtime, object: &Waitable, state: Option<State>) -> Quick {
                $short(runtime, object, state)
            }
        )+
    };
}

questions! {
    lock_at_once => lock;
    unlock_at_once => unlock;
    acquire_at_once => acquire;
    release_at_once => release;
}

/// The methods of a mutex that are not Lua.
pub(super) const MUTEX_METHODS: &[Function] = &[
    Function {
        entry: entry_quick::<Runtime, _, _>(lock, lock_mutex),
        at_once: Some(AtOnce::call(lock_at_once)),
        ..method!(waits c"lock", lock_mutex)
    },
    method!(c"owner", owner),
    method!(c"release", release_session),
    method!(c"session", session),
    method!(c"set_session", set_session),
    Function {
        at_once: Some(AtOnce::call(lock_at_once)),
        ..method!(c"try_lock", try_lock)
    },
    Function {
        entry: entry_quick::<Runtime, _, _>(unlock, unlock_mutex),
        at_once: Some(AtOnce::call(unlock_at_once)),
        ..method!(c"unlock", unlock_mutex)
    },
];

/// The methods of a semaphore.
pub(super) const SEMAPHORE_METHODS: &[Function] = &[
    Function {
        entry: entry_quick::<Runtime, _, _>(acquire, acquire_permits),
        at_once: Some(AtOnce::call(acquire_at_once)),
        ..method!(waits c"acquire", acquire_permits)
    },
    method!(c"count", permits),
    Function {
        entry: entry_quick::<Runtime, _, _>(release, release_permits),
        at_once: Some(AtOnce::call(release_at_once)),
        ..method!(c"release", release_permits)
    },
    Function {
        at_once: Some(AtOnce::call(acquire_at_once)),
        ..method!(c"try_acquire", try_acquire)
    },
];

/// The methods of a rwlock.
pub(super) const RWLOCK_METHODS: &[Function] = &[
    method!(waits c"read", read),
    method!(c"unlock", unlock_rwlock),
    method!(waits c"write", write),
];

/// Takes the object at the first slot apart, or says what was expected there.
macro_rules! this {
    ($stack:expr, $kind:ident, $expected:literal) => {
        match $stack.holder::<crate::runtime::Runtime>(slot::SELF) {
            Some(object) if matches!(object.kind, Kind::$kind(..)) => object,
            _ => return Err($stack.expected(slot::SELF, $expected)),
        }
    };
}
/// The state of the object.
macro_rules! state {
    ($object:expr, $kind:ident) => {
        match &$object.kind {
            Kind::$kind(state) => state,
            _ => unreachable!("`this` has looked"),
        }
    };
}
pub(super) use {state, this};

/// `coev.mutex.new()`
pub(super) fn new_mutex(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(made(Kind::Mutex(Mutex::new())))
}

/// `coev.semaphore.new(n)`
pub(super) fn new_semaphore(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let permits = count(stack, slot::SELF, 0)?;
    Ok(made(Kind::Semaphore(Semaphore::new(permits))))
}

/// `coev.rwlock.new()`
pub(super) fn new_rwlock(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    Ok(made(Kind::Rwlock(Rwlock::default())))
}

/// Raises where the caller would wait for itself.
fn refuse_own(runtime: &Runtime, object: &Waitable, name: &str) -> Result<(), Fault> {
    let here = runtime.here();
    let own = match &object.kind {
        Kind::Mutex(mutex) => mutex.owner(runtime) == Some(here),
        Kind::Rwlock(rwlock) => rwlock.is_held_by(here),
        _ => false,
    };
    if own {
        let kind = object.kind_name();
        return Err(Fault::misuse(format!(
            "'{name}': the {kind} is locked by this very task already, which would wait for itself"
        )));
    }
    Ok(())
}

/// `mutex:lock([timeout])`
fn lock_mutex(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Mutex, "coev.mutex");
    let timeout = stack.opt_seconds(slot::FIRST)?;
    refuse_own(runtime, &object, "lock")?;
    wait(runtime, stack, object, Wish::Lock(runtime.here()), timeout)
}

/// `mutex:try_lock()`
fn try_lock(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Mutex, "coev.mutex");
    let wish = Wish::Lock(runtime.here());
    Ok(Outcome::Reply(match object.try_now(runtime, wish) {
        Some(given) => object.reply(wish, given, 0),
        None => Reply::one(false),
    }))
}

/// `mutex:unlock()`
fn unlock_mutex(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Mutex, "coev.mutex");
    let mutex = state!(object, Mutex);
    match mutex.owner(runtime) {
        Some(owner) if owner == runtime.here() => {
            mutex.unlock(runtime, &object);
            Ok(Outcome::Reply(Reply::none()))
        }
        None => Err(Fault::misuse("'unlock': the mutex is not locked")),
        Some(owner) => Err(Fault::misuse(format!(
            "'unlock': the mutex belongs to {}, and not to the caller",
            runtime.owner_label(owner)
        ))),
    }
}

/// `mutex:owner()`
fn owner(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Mutex, "coev.mutex");
    answer(match state!(object, Mutex).owner(runtime) {
        None => Value::Nil,
        Some(Owner::Main) => Value::Text("main"),
        Some(Owner::Task(task)) => Value::Task(Runtime::name_of(task)),
    })
}

/// `session()` → the name of the hold, when it is the caller's; for the embedded Lua.
fn session(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Mutex, "coev.mutex");
    let mutex = state!(object, Mutex);
    let own = mutex.owner(runtime) == Some(runtime.here());
    answer(if own {
        Value::Integer(mutex.session().cast_signed())
    } else {
        Value::Nil
    })
}

/// `set_session(session)`: the caller's hold is that one again; for the embedded Lua.
fn set_session(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Mutex, "coev.mutex");
    let session = stack.integer(slot::FIRST)?.cast_unsigned();
    state!(object, Mutex).set_session(session);
    Ok(Outcome::Reply(Reply::none()))
}

/// `release(session)`: unlocks, if that hold lasts; for the embedded Lua.
fn release_session(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Mutex, "coev.mutex");
    let mutex = state!(object, Mutex);
    if mutex.lasts(runtime, stack.integer(slot::FIRST)?.cast_unsigned()) {
        mutex.unlock(runtime, &object);
    }
    Ok(Outcome::Reply(Reply::none()))
}

/// `semaphore:acquire([n], [timeout])`
fn acquire_permits(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Semaphore, "coev.semaphore");
    let permits = opt_count(stack, slot::FIRST, 1, 1)?;
    let timeout = stack.opt_seconds(slot::SECOND)?;
    wait(runtime, stack, object, Wish::Acquire(permits), timeout)
}

/// `semaphore:try_acquire([n])`
fn try_acquire(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Semaphore, "coev.semaphore");
    let permits = opt_count(stack, slot::FIRST, 1, 1)?;
    answer(state!(object, Semaphore).take(permits))
}

/// `semaphore:release([n])`
fn release_permits(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Semaphore, "coev.semaphore");
    let permits = opt_count(stack, slot::FIRST, 1, 1)?;
    state!(object, Semaphore).release(runtime, &object, permits);
    Ok(Outcome::Reply(Reply::none()))
}

/// `semaphore:count()`
fn permits(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Semaphore, "coev.semaphore");
    answer(state!(object, Semaphore).permits())
}

/// Locks a rwlock.
fn lock_rwlock(
    runtime: &Runtime,
    stack: &Stack,
    object: Rc<Waitable>,
    wish: Wish,
    name: &str,
) -> Result<Outcome, Fault> {
    let timeout = stack.opt_seconds(slot::FIRST)?;
    refuse_own(runtime, &object, name)?;
    wait(runtime, stack, object, wish, timeout)
}

/// `rwlock:read([timeout])`
fn read(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Rwlock, "coev.rwlock");
    lock_rwlock(runtime, stack, object, Wish::Read(runtime.here()), "read")
}

/// `rwlock:write([timeout])`
fn write(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Rwlock, "coev.rwlock");
    lock_rwlock(runtime, stack, object, Wish::Write(runtime.here()), "write")
}

/// `rwlock:unlock()`
fn unlock_rwlock(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let object = this!(stack, Rwlock, "coev.rwlock");
    let rwlock = state!(object, Rwlock);
    let here = runtime.here();
    if !rwlock.is_held_by(here) {
        return Err(Fault::misuse(
            "'unlock': the caller has not locked the rwlock",
        ));
    }
    rwlock.unlock(runtime, &object, here);
    Ok(Outcome::Reply(Reply::none()))
}
