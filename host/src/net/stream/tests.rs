use std::future::poll_fn;
use std::io::{Read, Write};

use tokio::io::Interest;
use tokio::net::TcpListener;

use super::super::tls::tests::session_with_blocking;
use super::*;
use crate::config::HalfClose;

/// Both ends of a TCP connection on the loopback interface: the peer's, and ours.
pub(crate) async fn pair() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (theirs, ours) = tokio::join!(TcpStream::connect(address), listener.accept());
    (theirs.unwrap(), Stream::Tcp(ours.unwrap().0))
}

/// A connection of each kind, and the peer's end of it.
pub(in crate::net) async fn of_each_kind() -> Vec<(Box<dyn Peer>, Stream)> {
    let (tcp, over_tcp) = pair().await;
    let (unix, over_unix) = UnixStream::pair().unwrap();
    let (tls, over_tls) = session_with_blocking().await;
    vec![
        (Box::new(blocking(tcp.into_std())), over_tcp),
        (Box::new(blocking(unix.into_std())), Stream::Unix(over_unix)),
        (Box::new(tls), over_tls),
    ]
}

/// The peer's end of a connection, which blocks.
pub(in crate::net) trait Peer: Read + Write {}

impl<S: Read + Write> Peer for S {}

trait Blocking {
    fn block(&self);
}

impl Blocking for std::net::TcpStream {
    fn block(&self) {
        self.set_nonblocking(false).unwrap();
    }
}

impl Blocking for std::os::unix::net::UnixStream {
    fn block(&self) {
        self.set_nonblocking(false).unwrap();
    }
}

fn blocking<S: Blocking>(stream: io::Result<S>) -> S {
    let stream = stream.unwrap();
    stream.block();
    stream
}

async fn read(stream: &mut Stream, buffer: &mut Buffer) -> usize {
    let mut half = stream.split().0;
    poll_fn(|cx| half.poll_read(cx, buffer)).await.unwrap()
}

#[tokio::test]
async fn each_kind_carries_bytes_both_ways_and_each_side_ends_its_own() {
    for (mut theirs, mut ours) in of_each_kind().await {
        theirs.write_all(b"hello").unwrap();
        let mut buffer = Buffer::default();
        while buffer.len() < 5 {
            assert!(read(&mut ours, &mut buffer).await > 0);
        }
        assert_eq!(buffer.filled(), b"hello");
        let (_, mut half) = ours.split();
        let n = poll_fn(|cx| half.poll_write(cx, b"goodbye")).await.unwrap();
        assert_eq!(n, 7);
        ours.shutdown().await.unwrap();
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"goodbye", "{ours:?}");
        theirs.write_all(b"!").unwrap();
        assert_eq!(read(&mut ours, &mut buffer).await, 1, "it may send on");
        drop(theirs);
        assert_eq!(read(&mut ours, &mut buffer).await, 0);
    }
}

#[tokio::test]
async fn a_stream_is_quiet_until_its_peer_speaks_or_leaves() {
    for (mut theirs, ours) in of_each_kind().await {
        assert!(ours.is_quiet(true) && ours.is_quiet(false), "{ours:?}");
        theirs.write_all(b"x").unwrap();
        while ours.socket().unread() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(!ours.is_quiet(true), "{ours:?}");
        // A session holds it by now, and the socket has nothing any more.
        if !matches!(ours, Stream::Tls(_)) {
            ours.socket().ready(Interest::READABLE).await.unwrap();
        }
        assert!(ours.took_unread(), "{ours:?}");
        drop(theirs);
        ours.socket().ready(Interest::READABLE).await.unwrap();
        assert!(!ours.is_quiet(true) && !ours.is_quiet(false));
    }
}

#[tokio::test]
async fn a_peer_that_ends_its_side_has_left_only_where_that_counts() {
    for (theirs, ours) in of_each_kind().await {
        let left = ours.socket().left(HalfClose::Abort);
        let mut left = std::pin::pin!(left);
        let waits = poll_fn(|cx| Poll::Ready(left.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "{ours:?}");
        drop(theirs);
        left.await;
    }
    let (mut theirs, ours) = pair().await;
    theirs.shutdown().await.unwrap();
    ours.socket().left(HalfClose::Abort).await;
    let mut left = std::pin::pin!(ours.socket().left(HalfClose::Allow));
    let waits = poll_fn(|cx| Poll::Ready(left.as_mut().poll(cx).is_pending())).await;
    assert!(waits, "it still reads");
    SockRef::from(&theirs)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(theirs);
    left.await;
}

#[tokio::test]
async fn the_last_bytes_for_a_client_arrive_before_the_end() {
    for (mut theirs, ours) in of_each_kind().await {
        ours.send_off(b"go away");
        let mut all = Vec::new();
        theirs.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"go away", "{ours:?}");
    }
}

#[tokio::test]
async fn a_reset_is_not_an_end() {
    let (theirs, ours) = pair().await;
    ours.reset_when_dropped();
    drop(ours);
    let mut theirs = blocking(theirs.into_std());
    let read = theirs.read(&mut [0]).map_err(|e| e.kind());
    assert_eq!(read, Err(io::ErrorKind::ConnectionReset));
}
