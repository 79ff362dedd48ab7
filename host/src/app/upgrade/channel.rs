//! The pair of sockets between the two processes of an upgrade: messages with descriptors.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use serde::Serialize;
use serde_json::Value;

use super::messages::{DESCRIPTORS, LONGEST, Message};

/// How long the other process may take to make room for a message.
const SEND: Duration = Duration::from_secs(5);
/// How often a wait looks whether it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// One end.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// Both ends; the second is for the other process.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (own, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(own), other))
    }

    /// The end that is this process's standard input, if the process with this number has put it
    /// there.
    pub(super) fn of_standard_input(parent: u32) -> io::Result<Self> {
        use rustix::net::sockopt::{socket_peercred, socket_type};
        let wrong = |reason| io::Error::new(ErrorKind::InvalidInput, reason);
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let kind = socket_type(&input).map_err(|_| wrong("standard input is no socket"))?;
        if kind != SocketType::SEQPACKET {
            return Err(wrong("standard input is another socket"));
        }
        // Of the process that has made the pair.
        let peer = socket_peercred(&input)?;
        let (pid, me) = (peer.pid.as_raw_nonzero().get(), rustix::process::geteuid());
        if u32::try_from(pid) != Ok(parent) || peer.uid != me {
            return Err(wrong("standard input is a socket of another process"));
        }
        Ok(Self(input))
    }

    /// Sends a message with these descriptors.
    pub(super) fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        if text.len() > LONGEST || descriptors.len() > DESCRIPTORS {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "the message is too long",
            ));
        }
        let timeout = Some(SEND);
        let sending = rustix::net::sockopt::Timeout::Send;
        rustix::net::sockopt::set_socket_timeout(&self.0, sending, timeout)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        sendmsg(
            &self.0,
            &[IoSlice::new(&text)],
            &mut beside,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }

    /// The next message that this version knows, and its descriptors; `None` if the other process
    /// has ended, or does not listen any more.
    ///
    /// # Errors
    ///
    /// `TimedOut` after this time, `Interrupted` if `is_over` says so, `InvalidData` for what is no
    /// message.
    pub(super) fn receive<T: Message>(
        &self,
        within: Duration,
        is_over: impl Fn() -> bool,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let began = Instant::now();
        loop {
            while !self.is_readable(LOOK)? {
                if is_over() {
                    return Err(ErrorKind::Interrupted.into());
                }
                if began.elapsed() >= within {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            let Some((written, descriptors)) = self.read()? else {
                return Ok(None);
            };
            if T::is_known(&written) {
                return Ok(Some((serde_json::from_value(written)?, descriptors)));
            }
            tracing::info!("the other process has another version, and says more than this one");
        }
    }

    fn is_readable(&self, within: Duration) -> io::Result<bool> {
        let within = Timespec::try_from(within).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&within)) {
            Err(rustix::io::Errno::INTR) => Ok(false),
            ready => Ok(ready? > 0),
        }
    }

    fn read(&self) -> io::Result<Option<(Value, Vec<OwnedFd>)>> {
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut text)];
        let received = match recvmsg(&self.0, into, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            // It has ended without reading all that was sent.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            received => received?,
        };
        let mut descriptors = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.bytes == 0 && descriptors.is_empty() {
            return Ok(None);
        }
        let is_cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        if received.flags.intersects(is_cut) {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "a message is not whole",
            ));
        }
        let message = serde_json::from_slice(&text[..received.bytes])?;
        Ok(Some((message, descriptors)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use super::*;

    impl Message for String {
        const ALL: &'static [&'static str] = &["here", "there"];
    }

    #[test]
    fn a_message_comes_with_its_descriptors_and_the_end_is_seen() {
        let (one, other) = Channel::pair().unwrap();
        let other = Channel(other);
        let never = || false;
        let nothing = one.receive::<String>(Duration::ZERO, never).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::TimedOut);
        let over = one.receive::<String>(Duration::from_secs(60), || true);
        assert_eq!(over.unwrap_err().kind(), ErrorKind::Interrupted);
        let mut file: File = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC)
            .unwrap()
            .into();
        file.write_all(b"text").unwrap();
        other.send(&"here", &[file.as_fd()]).unwrap();
        let received = one
            .receive::<String>(Duration::from_secs(20), never)
            .unwrap();
        let (message, descriptors) = received.unwrap();
        assert_eq!((message.as_str(), descriptors.len()), ("here", 1));
        let mut copy: File = descriptors.into_iter().next().unwrap().into();
        copy.rewind().unwrap();
        let mut text = String::new();
        copy.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        for unknown in [
            serde_json::json!("more"),
            serde_json::json!({"other": {"a": 1}}),
        ] {
            other.send(&unknown, &[]).unwrap();
        }
        other.send(&"there", &[]).unwrap();
        let next = one.receive::<String>(Duration::from_secs(20), never);
        assert_eq!(next.unwrap().unwrap().0, "there", "others are skipped");
        other.send(&1, &[]).unwrap();
        let wrong = one
            .receive::<String>(Duration::from_secs(20), never)
            .unwrap_err();
        assert_eq!(wrong.kind(), ErrorKind::InvalidData);
        drop(other);
        assert!(
            one.receive::<String>(Duration::from_secs(20), never)
                .unwrap()
                .is_none()
        );
    }
}
