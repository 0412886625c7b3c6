//! Every order in which two or three threads may meet at a channel.

use super::*;
use crate::runtime::inbox::{Inbox, Letter};
use loom::thread;

/// A message that is told from others.
fn message(mark: u8) -> Message {
    Message::from_bytes(vec![mark])
}

/// The task of an inbox's runtime.
fn waiter(inbox: &Inbox) -> io::Result<Waiter> {
    Ok(Waiter::of(inbox.sender(), TaskId::from_bits(1)))
}

/// Sleeps, as a runtime does, until there are letters.
fn sleep(inbox: &Inbox) {
    while inbox.fall_asleep() {
        inbox.waker().sleep();
        if inbox.get_up() {
            break;
        }
    }
    assert!(
        inbox
            .take()
            .iter()
            .all(|letter| matches!(letter, Letter::Wake(_)))
    );
}

/// Receives, and waits as long as it takes; nothing where the channel is closed.
fn receive(channel: &Channel, inbox: &Inbox) -> Option<u8> {
    let mut place = None;
    loop {
        match channel.receive(place, || waiter(inbox)).unwrap() {
            Turn::Done(message) => return Some(message.into_bytes()[0]),
            Turn::Closed => return None,
            Turn::Waits(at) => place = Some(at),
        }
        sleep(inbox);
    }
}

/// Sends, and waits as long as it takes; answers whether it was sent.
fn send(channel: &Channel, inbox: &Inbox, mark: u8) -> bool {
    let (mut place, mut message) = (None, Some(message(mark)));
    loop {
        match channel.send(place, &mut message, || waiter(inbox)).unwrap() {
            Turn::Done(()) => return true,
            Turn::Closed => return false,
            Turn::Waits(at) => place = Some(at),
        }
        sleep(inbox);
    }
}

#[test]
fn messages_come_once_and_in_order() {
    for capacity in [0, 1, 2] {
        loom::model(move || {
            let channel = Arc::new(Channel::new(capacity));
            let other = Arc::clone(&channel);
            let sender = thread::spawn(move || {
                let inbox = Inbox::new().unwrap();
                assert!(send(&other, &inbox, 1));
                assert!(send(&other, &inbox, 2));
            });
            let inbox = Inbox::new().unwrap();
            assert_eq!(receive(&channel, &inbox), Some(1));
            assert_eq!(receive(&channel, &inbox), Some(2));
            sender.join().unwrap();
        });
    }
}

#[test]
fn what_a_receiver_gives_up_is_not_lost() {
    loom::model(|| {
        let channel = Arc::new(Channel::new(1));
        let other = Arc::clone(&channel);
        let inbox = Inbox::new().unwrap();
        let turn = channel.receive(None, || waiter(&inbox)).unwrap();
        let Turn::Waits(place) = turn else {
            panic!("there is nothing to be received");
        };
        let sender = thread::spawn(move || {
            assert!(matches!(
                other.try_send(&mut Some(message(7))),
                Attempt::Done(())
            ));
        });
        channel.leave_receivers(place);
        sender.join().unwrap();
        let Attempt::Done(message) = channel.try_receive() else {
            panic!("it is lost");
        };
        assert_eq!(message.into_bytes(), [7]);
    });
}

#[test]
fn a_sender_that_gives_up_has_sent_or_has_not() {
    loom::model(|| {
        let channel = Arc::new(Channel::new(0));
        let other = Arc::clone(&channel);
        let inbox = Inbox::new().unwrap();
        let turn = channel.send(None, &mut Some(message(7)), || waiter(&inbox));
        let Ok(Turn::Waits(place)) = turn else {
            panic!("there is nobody to receive");
        };
        let receiver = thread::spawn(move || matches!(other.try_receive(), Attempt::Done(_)));
        let taken = channel.leave_senders(place);
        assert_eq!(receiver.join().unwrap(), taken);
    });
}

#[test]
fn a_close_wakes_all_who_wait() {
    loom::model(|| {
        let channel = Arc::new(Channel::new(0));
        let other = Arc::clone(&channel);
        let receiver = thread::spawn(move || receive(&other, &Inbox::new().unwrap()));
        channel.close();
        assert_eq!(receiver.join().unwrap(), None);
    });
}
