//! Upgrade: another process, started by this one, takes over its sockets while it serves.
//!
//! | the process that serves (`successor`)       | the one that it has started (`predecessor`)   |
//! |---------------------------------------------|-----------------------------------------------|
//! | waits                                       | greets, so that no other program is passed    |
//! |                                             | anything                                      |
//! | passes copies of all listening sockets, and | reads its configuration, loads its policies   |
//! | what it has learned                         |                                               |
//! |                                             | is ready, or refuses with its sentences       |
//! | passes health and stores, says that it may  | accepts connections, and says so              |
//! | serve                                       |                                               |
//! | accepts none any more, drains and ends      |                                               |
//!
//! Both hold the same sockets all the time, so that no queue of connections ever closes. Until the
//! last line the first process goes on as if nothing had happened, whatever becomes of the other.
//!
//! The two talk over a pair of sockets (`channel`): the new process has one of them as its standard
//! input, and descriptors come with the messages. So nothing is inherited but that, and a process
//! that is started by another one at the same time can't hold a socket by accident.

mod channel;
mod dialogue;
mod messages;
mod passing;
mod predecessor;
mod program;
mod successor;

pub(super) use dialogue::Late;
pub(super) use passing::Passing;
pub(super) use predecessor::Predecessor;
pub(super) use program::Program;
pub(super) use successor::{Successor, Upgrading};
