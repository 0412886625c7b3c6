//! Questions to the resolver, answered by a few threads. Equal ones in flight are asked once.

use super::Runtime;
use super::inbox::{Letter, Sender};
use super::operation::Poll;
use crate::sched::TaskId;
use crate::sys::failure;
use crate::sys::hosts::{Finding, Inquiry};
use crate::sys::names::{Answer, Family, Question, host_text};
use crate::vm::{Reply, Value};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The threads of one runtime, each of which lives as long as there are questions.
#[derive(Clone, Default)]
pub(crate) struct Resolver(Arc<Mutex<Desk>>);

/// What the threads share.
#[derive(Default)]
struct Desk {
    /// Questions that no thread has taken yet.
    waiting: VecDeque<Arc<Case>>,
    /// All that are not answered.
    open: Vec<Arc<Case>>,
    /// How many threads there are.
    threads: usize,
}

/// One question.
pub(crate) struct Case {
    /// The question.
    inquiry: Inquiry,
    /// The answer, once it is known.
    finding: OnceLock<Finding>,
    /// The tasks that wait for it.
    waiters: Mutex<Vec<TaskId>>,
}

/// Addresses that are asked for where that is needed.
pub(crate) struct Lookup {
    /// The question.
    question: Question,
    /// Where its answer will be, once it has been asked.
    case: Option<Arc<Case>>,
}

/// A call that asks for what is known of a host, and answers it as one string.
pub(crate) struct Resolve {
    /// The question.
    inquiry: Inquiry,
    /// Where its answer will be.
    case: Option<Arc<Case>>,
}

/// Threads at most: a name server that does not answer holds one of them for some seconds.
const MOST_THREADS: usize = 8;

/// Between the facts of an answer: no name has it.
const SEPARATOR: &str = "\n";

impl Case {
    /// The answer, once it is known.
    pub(crate) fn finding(&self) -> Option<&Finding> {
        self.finding.get()
    }
}

impl Resolver {
    /// What the threads share. It is whole after a panic, too.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, unless the same has been asked already; the task will be woken once.
    fn ask(&self, inquiry: Inquiry, task: TaskId, sender: Sender) -> io::Result<Arc<Case>> {
        let mut desk = self.desk();
        if let Some(case) = desk.open.iter().find(|case| case.inquiry == inquiry) {
            case.lock_waiters().push(task);
            return Ok(Arc::clone(case));
        }
        let case = Arc::new(Case {
            inquiry,
            finding: OnceLock::new(),
            waiters: Mutex::new(vec![task]),
        });
        if desk.threads < MOST_THREADS {
            let resolver = self.clone();
            let thread = std::thread::Builder::new().name("coev names".into());
            match thread.spawn(move || resolver.work(&sender)) {
                Ok(_) => desk.threads += 1,
                Err(error) if desk.threads == 0 => return Err(error),
                // Those that run will come to it.
                Err(_) => {}
            }
        }
        desk.open.push(Arc::clone(&case));
        desk.waiting.push_back(Arc::clone(&case));
        Ok(case)
    }

    /// Answers questions until there are none.
    fn work(&self, sender: &Sender) {
        loop {
            let mut desk = self.desk();
            let Some(case) = desk.waiting.pop_front() else {
                desk.threads -= 1;
                return;
            };
            drop(desk);
            let finding = case.inquiry.settle();
            // Nobody else sets it: the case was taken from the list.
            let _ = case.finding.set(finding);
            self.desk().open.retain(|other| !Arc::ptr_eq(other, &case));
            for task in std::mem::take(&mut *case.lock_waiters()) {
                sender.post(Letter::Answer(task));
            }
        }
    }
}

impl Case {
    /// The tasks that wait.
    fn lock_waiters(&self) -> MutexGuard<'_, Vec<TaskId>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup {
    /// Nobody has been asked yet.
    pub(crate) fn new(question: Question) -> Lookup {
        Lookup {
            question,
            case: None,
        }
    }

    /// Whom it asks for.
    pub(crate) fn question(&self) -> &Question {
        &self.question
    }

    /// Asks for addresses of this family, unless it has been said which; before the first poll.
    pub(crate) fn narrow(&mut self, family: Family) {
        if self.question.family == Family::Unspecified {
            self.question.family = family;
        }
    }

    /// The answer: at once where host and port are numbers, else when a thread has it. The task is woken then.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Option<Answer> {
        let case = match &self.case {
            Some(case) => case,
            None => match self.question.numeric() {
                Some(answer) => return Some(answer),
                None => match runtime.ask(Inquiry::Addresses(self.question.clone()), task) {
                    Ok(case) => self.case.insert(case),
                    Err(error) => return Some(Err(failure::word(&error))),
                },
            },
        };
        match case.finding() {
            Some(Finding::Addresses(answer)) => Some(answer.clone()),
            Some(Finding::Facts(_)) | None => None,
        }
    }
}

impl Resolve {
    /// A call that has not asked yet.
    pub(crate) fn new(inquiry: Inquiry) -> Resolve {
        Resolve {
            inquiry,
            case: None,
        }
    }

    /// What it asks for, as one line.
    pub(crate) fn subject(&self) -> String {
        match &self.inquiry {
            Inquiry::Addresses(question) => question.host.clone(),
            Inquiry::Host(host) => Some(host.clone()),
            Inquiry::Names(host, service) => host.clone().or_else(|| service.clone()),
        }
        .unwrap_or_default()
    }

    /// Asks, or looks at the answer.
    pub(crate) fn poll(&mut self, runtime: &Runtime, task: TaskId) -> Poll {
        let case = match &self.case {
            Some(case) => case,
            None => match runtime.ask(self.inquiry.clone(), task) {
                Ok(case) => self.case.insert(case),
                Err(error) => return Poll::Ready(Reply::failure(failure::word(&error))),
            },
        };
        match case.finding() {
            Some(finding) => Poll::Ready(reply(finding.clone())),
            None => Poll::Pending,
        }
    }
}

/// The facts as one string: each behind its letter; `4` and `6` stand before addresses, whose port comes second.
fn reply(finding: Finding) -> Reply {
    let mut port = Value::Nil;
    let facts = match finding {
        Finding::Facts(facts) => facts,
        Finding::Addresses(answer) => answer.map(|addresses| {
            let fact = |address: &std::net::SocketAddr| {
                let letter = if address.is_ipv4() { '4' } else { '6' };
                format!("{letter}{}", host_text(address))
            };
            port = addresses
                .first()
                .map_or(Value::Nil, |address| i64::from(address.port()).into());
            addresses.iter().map(fact).collect()
        }),
    };
    match facts {
        Ok(facts) => Reply::two(facts.join(SEPARATOR), port),
        Err(reason) => Reply::failure(reason),
    }
}

impl Runtime {
    /// Asks the resolver; the task will be woken once for it.
    pub(crate) fn ask(&self, inquiry: Inquiry, task: TaskId) -> io::Result<Arc<Case>> {
        let mut core = self.core.borrow_mut();
        let sender = core.inbox()?.sender();
        let case = self.resolver.ask(inquiry, task, sender)?;
        core.owed += 1;
        Ok(case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::inbox::Inbox;

    #[test]
    fn asks_equal_questions_once_and_wakes_all() {
        let (resolver, inbox) = (Resolver::default(), Inbox::new().unwrap());
        let tasks = [1, 2, 3].map(TaskId::from_bits);
        // Nobody can answer while the desk is held.
        let cases = {
            let blocker = Inquiry::Host("localhost".into());
            tasks.map(|task| resolver.ask(blocker.clone(), task, inbox.sender()).unwrap())
        };
        let mut woken = Vec::new();
        while woken.len() < tasks.len() {
            woken.extend(inbox.take().into_iter().map(|letter| match letter {
                Letter::Answer(task) => task,
                Letter::Wake(_) | Letter::Alert => panic!("nobody has sent this"),
            }));
            std::thread::yield_now();
        }
        woken.sort_by_key(|task| task.to_bits());
        assert_eq!(woken, tasks);
        assert!(cases.iter().all(|case| case.finding().is_some()));
    }
}
