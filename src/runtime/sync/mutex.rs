//! A mutex: one task at a time.

use super::{Given, Line, Owner, Waitable, Wish};
use crate::runtime::Runtime;
use std::cell::Cell;
use std::rc::Rc;

/// The state of a mutex.
pub(crate) struct Mutex {
    /// Who holds it. One whose owner has ended is free, whatever is written here.
    hold: Cell<Hold>,
    /// The name of the hold, for its guard.
    session: Cell<u64>,
    /// The last name of one.
    last: Cell<u64>,
    /// Those who have been owners last and have it noted that their end matters to it: it need not be looked for.
    noted: Cell<[Option<Owner>; 2]>,
    /// Who waits for it.
    pub(super) line: Line,
}

/// Who holds a mutex.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Nobody.
    Free,
    /// Nobody, since its owner has ended, and nobody has been told yet.
    Deserted,
    /// Its owner.
    Held(Owner),
}

impl Mutex {
    /// One that is free.
    pub(crate) fn new() -> Mutex {
        Mutex {
            hold: Cell::new(Hold::Free),
            session: Cell::new(0),
            last: Cell::new(0),
            noted: Cell::default(),
            line: Line::default(),
        }
    }

    /// Who holds it now.
    fn hold(&self, runtime: &Runtime) -> Hold {
        match self.hold.get() {
            Hold::Held(owner) if !runtime.is_alive(owner) => Hold::Deserted,
            hold => hold,
        }
    }

    /// Is it free, and will nobody have to be told? Then it is the caller's.
    #[inline(always)]
    pub(super) fn lock_at_once(&self, owner: Owner) -> bool {
        let free = self.hold.get() == Hold::Free;
        if free {
            self.take(owner);
        }
        free
    }

    /// Lets go of it where it is the caller's and nobody waits.
    #[inline(always)]
    pub(super) fn unlock_at_once(&self, owner: Owner) -> bool {
        let may = self.hold.get() == Hold::Held(owner) && self.line.is_empty();
        if may {
            self.hold.set(Hold::Free);
        }
        may
    }

    /// Is it the owner's?
    #[inline(always)]
    pub(super) fn is_locked_by(&self, owner: Owner) -> bool {
        self.hold.get() == Hold::Held(owner)
    }

    /// Does somebody else hold it, who is alive?
    #[inline(always)]
    pub(super) fn is_held_by_another(&self, runtime: &Runtime, owner: Owner) -> bool {
        matches!(self.hold(runtime), Hold::Held(other) if other != owner)
    }

    /// Makes it the owner's.
    #[inline(always)]
    fn take(&self, owner: Owner) {
        self.hold.set(Hold::Held(owner));
        self.last.set(self.last.get() + 1);
        self.session.set(self.last.get());
    }

    /// Its owner.
    pub(crate) fn owner(&self, runtime: &Runtime) -> Option<Owner> {
        match self.hold(runtime) {
            Hold::Held(owner) => Some(owner),
            Hold::Free | Hold::Deserted => None,
        }
    }

    /// The name of this hold.
    pub(crate) fn session(&self) -> u64 {
        self.session.get()
    }

    /// The hold goes on under a name that it has had before a condition let go of the mutex.
    pub(crate) fn set_session(&self, session: u64) {
        self.session.set(session);
    }

    /// Does the hold of that name last?
    pub(crate) fn lasts(&self, runtime: &Runtime, session: u64) -> bool {
        self.session.get() == session && self.owner(runtime).is_some()
    }

    /// Its state in a word or two.
    pub(super) fn text(&self, runtime: &Runtime) -> String {
        match self.hold(runtime) {
            Hold::Free => "free".into(),
            Hold::Deserted => "free, abandoned".into(),
            Hold::Held(owner) => format!("held by {}", runtime.owner_label(owner)),
        }
    }

    /// Locks it without waiting.
    pub(super) fn try_now(
        &self,
        runtime: &Runtime,
        this: &Rc<Waitable>,
        owner: Owner,
    ) -> Option<Given> {
        let given = match self.hold(runtime) {
            Hold::Free => Given::Done,
            Hold::Deserted => Given::Abandoned,
            Hold::Held(_) => return None,
        };
        self.take(owner);
        self.note(runtime, this);
        Some(given)
    }

    /// Somebody waits, or watches: the end of its owner must be told.
    #[inline(always)]
    pub(super) fn note(&self, runtime: &Runtime, this: &Waitable) {
        if let Hold::Held(owner) = self.hold.get()
            && (!self.line.is_empty() || this.is_watched())
            && !self.noted.get().contains(&Some(owner))
            && runtime.note_held(owner, this)
        {
            let [last, _] = self.noted.get();
            self.noted.set([Some(owner), last]);
        }
    }

    /// Does a note with the owner outlast a look through all of these? Only while the mutex is the owner's.
    pub(super) fn keeps_note(&self, owner: Owner) -> bool {
        let keeps = self.is_locked_by(owner);
        if !keeps {
            let others = self.noted.get();
            let others = others.map(|noted| noted.filter(|noted| *noted != owner));
            self.noted.set(others);
        }
        keeps
    }

    /// Its owner lets go of it.
    pub(crate) fn unlock(&self, runtime: &Runtime, this: &Rc<Waitable>) {
        self.hand_over(runtime, this, Given::Done);
    }

    /// Hands it to the first who waits, or lets it be free.
    #[inline]
    pub(super) fn hand_over(&self, runtime: &Runtime, this: &Rc<Waitable>, given: Given) {
        let next = runtime.serve(&self.line, given);
        match next.map(|waiter| waiter.wish) {
            Some(Wish::Lock(owner)) => {
                self.take(owner);
                self.note(runtime, this);
            }
            _ => {
                self.hold.set(if given == Given::Abandoned {
                    Hold::Deserted
                } else {
                    Hold::Free
                });
                runtime.tell_watchers(this);
            }
        }
    }
}
