//! The ways in which a call can go wrong, told apart by what Lua shall see. Knows no other floor.

use std::borrow::Cow;

/// Why a call raises: the caller's mistake, or a state in which the call makes no sense.
#[derive(Debug)]
pub(crate) enum Fault {
    /// An argument is not what the function takes.
    Argument {
        /// Its place on the stack, from 1.
        slot: i32,
        /// What is wrong with it.
        problem: Cow<'static, str>,
    },
    /// A number stands at this slot, where the function needs a string: the trampoline converts it and calls again.
    NumberForString(i32),
    /// The call itself is wrong here.
    Misuse(Cow<'static, str>),
    /// The error value lies on top of the Lua stack.
    Raised,
}

impl Fault {
    /// An argument that has the right type and a wrong value, or the wrong type.
    pub(crate) fn argument(slot: i32, problem: impl Into<Cow<'static, str>>) -> Fault {
        Fault::Argument {
            slot,
            problem: problem.into(),
        }
    }

    /// A call that makes no sense in this place or state.
    pub(crate) fn misuse(message: impl Into<Cow<'static, str>>) -> Fault {
        Fault::Misuse(message.into())
    }
}
