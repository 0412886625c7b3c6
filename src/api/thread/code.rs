//! Values that are copied once, and unpacked wherever they come: the functions of a pool.

use super::{CODE, MODULE, answer, copy, refuse};
use crate::api::function;
use crate::error::Fault;
use crate::runtime::Runtime;
use crate::vm::copy::{Message, Parcel, Shared};
use crate::vm::{Class, ClassDef, Function, Object, Outcome, Reply, Stack, Value};
use std::rc::Rc;
use std::sync::Arc;

/// The class.
pub(super) const CLASS: ClassDef = ClassDef {
    name: c"coev.code",
    module: MODULE.name,
    methods: &[],
    tostring: &function!(c"tostring", tostring),
};

/// Copies a value.
pub(super) const PACK: Function = function!(c"thread_pack", pack);
/// Makes a value of the copy.
pub(super) const UNPACK: Function = function!(c"thread_unpack", unpack);

/// A copy as Lua holds it.
struct Code(Arc<Message>);

/// The first argument of each.
const FIRST: i32 = 1;

impl Object for Code {
    fn share(&self) -> Option<Arc<dyn Shared>> {
        Some(Arc::new(Code(Arc::clone(&self.0))))
    }
}

impl Shared for Code {
    fn land(self: Arc<Self>) -> (Class, Rc<dyn Object>) {
        (CODE, Rc::new(Code(Arc::clone(&self.0))))
    }
}

/// `thread_pack(value)` → its copy, or `nil` and what cannot be copied.
fn pack(runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    match copy(runtime, stack, FIRST, 1, |_| "function".into()) {
        Ok((message, departing)) => {
            runtime.give_up(departing);
            answer(Value::Object(CODE, Rc::new(Code(Arc::new(message)))))
        }
        Err(problem) => refuse(problem),
    }
}

/// `thread_unpack(copy)` → the value.
fn unpack(_runtime: &Runtime, stack: &Stack) -> Result<Outcome, Fault> {
    let code = stack.object::<Code>(FIRST, &[CODE], "coev.code")?;
    let parcel = Parcel::from(Arc::clone(&code.0));
    Ok(Outcome::Reply(Reply::one(Value::from(parcel))))
}

/// `tostring(copy)`
fn tostring(_runtime: &Runtime, _stack: &Stack) -> Result<Outcome, Fault> {
    answer("coev.code")
}
