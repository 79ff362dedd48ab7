//! Bodies that are read before a backend is chosen, so that a slow upload holds neither a
//! connection nor a place at one.

use super::body::{
    BodyParts, BodySource, Duplex, MessageSink, Pieces, Ready, Stage, TransferEnd, Waits,
};
use super::context::RequestContext;
use super::end::ExchangeEnd;
use super::exchange::{Attempted, Exchange};
use crate::config::RetryPolicy;
use crate::upstream::AttemptOutcome;

impl Exchange<'_> {
    /// Reads the body, or as much of it as the route says: what is longer streams on from there.
    /// What ends the request meanwhile is the error.
    #[cold]
    pub(super) async fn buffer_body(
        &mut self,
        context: RequestContext<'_>,
        policy: &RetryPolicy,
    ) -> Result<(), Attempted> {
        self.begin_body(context, Some(policy.most_held()));
        let read = Box::pin(self.read_body(context, policy.buffering)).await;
        read.map_err(|end| {
            let end = ExchangeEnd::Upload(end);
            self.ended(end, 0, false, AttemptOutcome::ClientFailed)
        })
    }

    async fn read_body(
        &mut self,
        context: RequestContext<'_>,
        most: usize,
    ) -> Result<(), TransferEnd> {
        let Some(progress) = &mut self.progress else {
            return Ok(());
        };
        let awaits = self.facts.notes.expect_continue && self.client.awaits_body();
        // It is asked once, and not by a backend.
        self.facts.notes.expect_continue = false;
        let (terms, scratch) = (context.terms(), &mut *self.scratch);
        let duplex = Duplex::new(Stage::Partly, false);
        let (mut from, mut client) = self.client.open(terms, &mut scratch.out, &duplex);
        if awaits {
            client.interim(100, None);
            client.flush().await.map_err(|_| TransferEnd::ClientLeft)?;
        }
        let body = from.body(BodyParts {
            progress,
            trailers: &mut scratch.request_trailers,
            edited: &self.edited,
            duplex: &duplex,
            waits: Waits::ForClient {
                pace: &self.pace,
                timeouts: context.timeouts,
                reads_by: None,
            },
        });
        keep(body, &client, most).await
    }
}

/// Reads so much of a body, which keeps what was read.
async fn keep(
    mut body: BodySource<'_, '_>,
    client: &MessageSink<'_>,
    most: usize,
) -> Result<(), TransferEnd> {
    let mut held = 0;
    loop {
        match body.ready()? {
            Ready::Content(_) if held == most => return Ok(()),
            Ready::Content(n) => {
                let n = n.min(most - held);
                body.consume(n);
                held += n;
            }
            Ready::Nothing => body.fill(client).await?,
            Ready::End => return Ok(()),
        }
    }
}
