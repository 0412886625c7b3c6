//! What a Rust function asks of the trampoline, and the values that it answers with.

use super::copy::Parcel;
use super::object::{Class, Object};
use super::registry::Slot;
use std::borrow::Cow;
use std::cell::{Cell, UnsafeCell};
use std::rc::Rc;

/// What the trampoline shall do once the function has returned.
pub(crate) enum Outcome {
    /// Return these values to Lua.
    Reply(Reply),
    /// Yield, with the arguments kept on the coroutine's stack until the task is resumed.
    Park,
    /// Yield the same from a coroutine inside the task's own one: its resumer passes it on outward.
    PassUp,
    /// Yield outward what a nested coroutine has passed up; what comes back is returned as it is.
    Relay(Outward),
    /// Raise what ends the waits of the task before their time.
    Alarm,
    /// Make a coroutine of the function and its arguments, anchor it, and answer the task's handle.
    Spawn,
    /// The same, and then let the host run until that task has ended.
    Run,
    /// Raise the error of the ended task whose handle is the first argument.
    RaiseTaskError,
    /// Give the handle that is the first argument a finalizer, and return it.
    Guard,
    /// Ask Lua with the same arguments: what it answers is returned; when it answers nothing, call again.
    Instead(Instead),
}

/// What Lua does where a Rust function cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Instead {
    /// Makes the list of an event.
    MakeList,
    /// Waits for an event where no task can be parked.
    WaitElsewhere,
    /// Tells of an event for which nobody waits.
    NobodyWaits,
}

/// Why a task leaves without an operation: what its yield means to the scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leave {
    /// It yields as any coroutine does, and gives way.
    Plainly,
    /// It gives way by a call that can raise.
    GivingWay,
    /// It waits to be resumed.
    Suspended,
    /// It waits for an operation, in a call of its own coroutine that takes the answer where it lies.
    Waiting,
}

/// Where a yield goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outward {
    /// To the scheduler.
    Scheduler,
    /// To a coroutine that passes it on.
    Resumer,
}

/// A task that has its place in the table: as the registry and as the scheduler name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskName {
    /// Its place among the anchors and handles.
    pub(crate) slot: Slot,
    /// Its name for the scheduler.
    pub(crate) id: u64,
}

/// At most three values: no call of coev's answers more, but for the results of a task, which are one `Value`.
#[derive(Default)]
pub(crate) struct Reply {
    /// The values in order; the first `len` count.
    values: [Value; 3],
    /// How many there are.
    len: u8,
}

/// One value on its way to Lua. What it points to belongs to the runtime, never to a frame that may be jumped over.
#[derive(Default)]
pub(crate) enum Value {
    /// `nil`.
    #[default]
    Nil,
    /// `true` or `false`.
    Boolean(bool),
    /// An integer; a float where the Lua has no integers.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A string that is known when coev is built.
    Text(&'static str),
    /// A string in a buffer that stays as it is until the value has been pushed.
    Held(HeldBytes),
    /// A string of its own.
    Bytes(Vec<u8>),
    /// A new object.
    Object(Class, Rc<dyn Object>),
    /// The handle of a live task.
    Task(TaskName),
    /// The coroutine stack of a task, as text.
    Traceback(Slot),
    /// What lies under the key in the table of the call's argument `at`, counted from 0; it is taken out.
    Taken {
        /// The argument that has the table.
        at: i32,
        /// The key.
        key: u32,
    },
    /// The same; it stays there.
    Kept {
        /// The argument that has the table.
        at: i32,
        /// The key.
        key: u32,
    },
    /// No value: what lies there is taken out and forgotten.
    Forgotten {
        /// The argument that has the table.
        at: i32,
        /// The key.
        key: u32,
    },
    /// All that an ended task returned: from the handle that is the first argument.
    Results,
    /// Tells the waiting call that it must raise; never seen by a script.
    Alarm,
    /// What a join of that task answers: whether it ended well, and then its results, or its error and traceback.
    Outcome,
    /// The values of a message, or what is wrong with it: only as the last one. Taken when it is pushed, so that it is
    /// nobody's else meanwhile.
    Message(Cell<Option<Box<Parcel>>>),
}

/// Bytes that somebody else keeps in place: a Lua string on a parked call's stack, or a buffer of the runtime's.
#[derive(Clone, Copy)]
pub(crate) struct HeldBytes {
    /// The first byte.
    pointer: *const u8,
    /// How many bytes.
    len: usize,
}

/// Where a reply waits until it is pushed. It belongs to the runtime, so that an error raised while pushing leaks
/// nothing: the next reply takes the place of the old one.
///
/// Pushing may run a finalizer, and that may call coev: what it is answered lies in the other of two places. Lua runs
/// no finalizer inside of one, so two are enough.
#[derive(Default)]
pub(crate) struct ReplySlot {
    /// The two places.
    places: [UnsafeCell<Reply>; 2],
    /// Which of them is being pushed; or was, where an error has ended that.
    pushed: Cell<Option<usize>>,
    /// The bytes that lie ready for a call, and which place was being pushed when they were laid there.
    ready: Cell<Option<(HeldBytes, Option<usize>)>>,
}

impl Reply {
    /// No value.
    pub(crate) fn none() -> Reply {
        Reply::default()
    }

    /// One value.
    pub(crate) fn one(value: impl Into<Value>) -> Reply {
        Reply {
            values: [value.into(), Value::Nil, Value::Nil],
            len: 1,
        }
    }

    /// Two values.
    pub(crate) fn two(first: impl Into<Value>, second: impl Into<Value>) -> Reply {
        Reply {
            values: [first.into(), second.into(), Value::Nil],
            len: 2,
        }
    }

    /// Three values.
    pub(crate) fn three(
        first: impl Into<Value>,
        second: impl Into<Value>,
        third: impl Into<Value>,
    ) -> Reply {
        Reply {
            values: [first.into(), second.into(), third.into()],
            len: 3,
        }
    }

    /// The first two values behind another one.
    pub(crate) fn behind(self, first: impl Into<Value>) -> Reply {
        let [second, third, _] = self.values;
        Reply {
            values: [first.into(), second, third],
            len: self.len.min(2) + 1,
        }
    }

    /// `nil, reason`: the world's failures.
    pub(crate) fn failure(reason: impl Into<Value>) -> Reply {
        Reply::two(Value::Nil, reason)
    }

    /// The values.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values[..usize::from(self.len)]
    }
}

impl HeldBytes {
    /// Remembers where `bytes` lie.
    ///
    /// The maker promises that they stay there, unchanged, as long as the value is used: they are a Lua string that a
    /// parked call keeps on its stack, or a buffer that nobody touches before the reply is pushed.
    pub(crate) fn new(bytes: &[u8]) -> HeldBytes {
        HeldBytes {
            pointer: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// The bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: the promise of whoever called `new`: the bytes stay in place while the value is used.
        unsafe { std::slice::from_raw_parts(self.pointer, self.len) }
    }
}

impl ReplySlot {
    /// The place that nobody pushes from.
    pub(crate) fn free_place(&self) -> usize {
        self.pushed.get().map_or(0, |pushed| 1 - pushed)
    }

    /// Keeps `reply` until it is pushed; drops the one before it.
    pub(super) fn set(&self, reply: Reply) {
        let place = self.places[self.free_place()].get();
        // SAFETY: the universe is single-threaded, and nobody holds a reference into this place across a call: it is not
        // the one that is being pushed.
        let before = unsafe { std::mem::replace(&mut *place, reply) };
        drop(before);
    }

    /// Takes the reply out.
    pub(crate) fn take(&self) -> Reply {
        // SAFETY: as in `set`.
        unsafe { std::mem::take(&mut *self.places[self.free_place()].get()) }
    }

    /// Begins to push the reply that has been set last: answers where it lies, and what `end_push` must be told.
    #[inline(always)]
    pub(super) fn begin_push(&self) -> (*const Reply, Option<usize>) {
        let place = self.free_place();
        (self.places[place].get(), self.pushed.replace(Some(place)))
    }

    /// Lets bytes lie ready for the call that is resumed next: until it has taken them, what others read and are answered
    /// goes to the other place. Answers whether they could lie there: only one call's can.
    #[inline(always)]
    pub(super) fn lay_bytes(&self, bytes: HeldBytes) -> bool {
        let free = self.ready.get().is_none();
        if free {
            let before = self.pushed.replace(Some(self.free_place()));
            self.ready.set(Some((bytes, before)));
        }
        free
    }

    /// Takes these bytes, which are to be pushed at once.
    #[inline(always)]
    pub(super) fn take_bytes(&self) -> HeldBytes {
        let (bytes, before) = self.ready.take().unwrap_or_else(|| {
            // Nobody asks for what has not been laid there.
            (HeldBytes::new(b""), self.pushed.get())
        });
        self.pushed.set(before);
        bytes
    }

    /// All of it has been pushed.
    #[inline(always)]
    pub(super) fn end_push(&self, before: Option<usize>) {
        self.pushed.set(before);
    }
}

impl From<()> for Value {
    fn from((): ()) -> Value {
        Value::Nil
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Number(value)
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Value {
        Value::Text(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Bytes(value.into_bytes())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Value {
        Value::Bytes(value)
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(value: Cow<'static, str>) -> Value {
        match value {
            Cow::Borrowed(text) => Value::Text(text),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl From<HeldBytes> for Value {
    fn from(value: HeldBytes) -> Value {
        Value::Held(value)
    }
}

impl From<Parcel> for Value {
    fn from(parcel: Parcel) -> Value {
        Value::Message(Cell::new(Some(Box::new(parcel))))
    }
}

impl Value {
    /// Can it be pushed without taking memory from Lua?
    pub(super) fn is_plain(&self) -> bool {
        matches!(
            self,
            Value::Nil | Value::Boolean(_) | Value::Integer(_) | Value::Number(_) | Value::Alarm
        )
    }

    /// Can it be pushed by the call itself, whose arguments are gone by then?
    pub(super) fn is_answer(&self) -> bool {
        matches!(
            self,
            Value::Text(_) | Value::Held(_) | Value::Bytes(_) | Value::Object(..)
        ) || self.is_plain()
    }

    /// Does it lie in the table of an object, and no memory is needed to get it from there?
    pub(super) fn is_at_hand(&self) -> bool {
        matches!(self, Value::Taken { .. } | Value::Kept { .. }) || self.is_plain()
    }
}
