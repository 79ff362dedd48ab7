use super::super::stream::tests::{of_each_kind, pair};
use super::*;

const LONG: Duration = Duration::from_secs(60);

fn timed<'a, H>(
    half: H,
    timers: &'a Timers,
    timer: &'a Timer,
    wait: Wait,
    patience: Duration,
    bytes: &'a Counter,
) -> TimedIo<'a, H> {
    TimedIo {
        half,
        timers,
        timer,
        wait,
        patience,
        bytes,
    }
}

/// Runs the clock until the future ends.
async fn by_the_clock<T>(timers: &Timers, future: impl Future<Output = T>) -> T {
    let sweep = async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            timers.sweep();
        }
    };
    tokio::select! {
        output = future => output,
        () = sweep => unreachable!(),
    }
}

#[tokio::test]
async fn what_moves_is_counted_for_the_worker_and_for_the_connection() {
    for (mut theirs, mut ours) in of_each_kind().await {
        let (timers, bytes) = (Timers::new(), Counter::default());
        let timer = timers.register();
        let (read, write) = ours.split();
        let mut write = timed(write, &timers, &timer, Wait::ClientWrite, LONG, &bytes);
        let mut out = b"hello".to_vec();
        write.flush(&mut out).await.unwrap();
        write.write_all(b"!!").await.unwrap();
        assert_eq!(
            (
                out.len(),
                bytes.value(),
                timer.moved.written.get(),
                timer.moved.read.get()
            ),
            (0, 7, 7, 0)
        );
        write.write_while(b"abc", |_| false).await.unwrap();
        assert_eq!(bytes.value(), 10, "this way goes to a backend");
        assert_eq!(timer.moved.written.get(), 7);
        theirs.write_all(b"four").unwrap();
        let (mut buffer, bytes) = (Buffer::default(), Counter::default());
        let mut read = timed(read, &timers, &timer, Wait::ClientRead, LONG, &bytes);
        let mut sum = 0;
        while sum < 3 {
            sum += read.read(&mut buffer).await.unwrap();
        }
        assert_eq!(
            (buffer.filled(), bytes.value(), timer.moved.read.get()),
            (&b"four"[..sum], sum as u64, sum as u64)
        );
        drop(theirs);
        while let Ok(1..) = read.read_watched(&mut buffer).await {}
        assert_eq!((bytes.value(), timer.moved.read.get()), (4, 4));
    }
}

#[tokio::test]
async fn a_wait_ends_with_its_time_whichever_way_it_is() {
    let (timers, bytes) = (Timers::new(), Counter::default());
    let timer = timers.register();
    let (_theirs, mut ours) = pair().await;
    let (read, write) = ours.split();
    let patience = Duration::from_millis(20);
    let mut read = timed(read, &timers, &timer, Wait::ClientRead, patience, &bytes);
    let mut buffer = Buffer::default();
    assert_eq!(
        by_the_clock(&timers, read.read(&mut buffer)).await,
        Err(IoEnd::TimedOut)
    );
    timers.arm(&timer, Wait::ClientRead, patience);
    assert_eq!(
        by_the_clock(&timers, read.read_watched(&mut buffer)).await,
        Err(IoEnd::TimedOut)
    );
    let much = vec![0; 64 * 1024 * 1024];
    let mut write = timed(
        write,
        &timers,
        &timer,
        Wait::UpstreamWrite,
        patience,
        &bytes,
    );
    assert_eq!(
        by_the_clock(&timers, write.write_all(&much)).await,
        Err(IoEnd::TimedOut)
    );
    assert_eq!(
        by_the_clock(&timers, write.write_while(&much, |_| true)).await,
        Err(IoEnd::TimedOut)
    );
    write.patience = LONG;
    let waited = std::cell::Cell::new(Duration::ZERO);
    let go_on = |so_far| {
        waited.set(so_far);
        so_far < 2 * LOOK
    };
    assert_eq!(
        by_the_clock(&timers, write.write_while(&much, go_on)).await,
        Err(IoEnd::Failed)
    );
    assert_eq!(
        waited.get(),
        2 * LOOK,
        "asked after each look, with all that was waited so far"
    );
}

/// A write that waits notes what a client has acknowledged, if that was requested, and never does
/// so for a backend.
#[tokio::test]
async fn a_write_that_waits_for_a_client_notes_unacknowledged_bytes_on_request() {
    for (wait, asked, noted) in [
        (Wait::ClientWrite, true, true),
        (Wait::ClientWrite, false, false),
        (Wait::UpstreamWrite, true, false),
    ] {
        let (timers, bytes) = (Timers::new(), Counter::default());
        let timer = timers.register();
        let (_theirs, mut ours) = pair().await;
        let mut write = timed(
            ours.split().1,
            &timers,
            &timer,
            wait,
            Duration::from_millis(20),
            &bytes,
        );
        timer.moved.asked.set(asked);
        let much = vec![0; 64 * 1024 * 1024];
        assert_eq!(
            by_the_clock(&timers, write.write_all(&much)).await,
            Err(IoEnd::TimedOut)
        );
        let unsent = timer.moved.unsent.get();
        assert_eq!(
            unsent.is_some_and(|n| n > 0),
            noted && cfg!(target_os = "linux"),
            "{wait:?} {asked}: {unsent:?}"
        );
        assert_eq!(timer.moved.asked.get(), asked && !noted);
        assert_eq!(timer.moved.written.get(), bytes.value());
    }
}
