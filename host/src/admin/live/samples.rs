//! The last sampled requests, for the page: sampled only while a page gets news.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::admin::control::Control;
use crate::observe::sample::Sample;
use crate::observe::tap::Watch;

/// Samples that are kept, of which the page shows the first that its filter leaves.
const KEPT: usize = 200;

/// The last samples, newest first.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Pages that get news.
    pages: usize,
    watch: Option<Watch>,
    /// Of all that have come: each with its number.
    last: VecDeque<(u64, Arc<Sample>)>,
    count: u64,
}

impl Samples {
    /// A page begins to get news.
    pub(super) fn begin(&mut self, control: &dyn Control) {
        self.pages += 1;
        if self.watch.is_none() {
            self.watch = control.tap().watch_for_page();
        }
    }

    /// A page gets no more news.
    pub(super) fn end(&mut self) {
        self.take();
        self.pages = self.pages.saturating_sub(1);
        if self.pages == 0 {
            self.watch = None;
        }
    }

    /// Takes what has come.
    pub(super) fn take(&mut self) {
        let Some(watch) = &mut self.watch else { return };
        while let Some(sample) = watch.next_now() {
            self.count += 1;
            self.last.push_front((self.count, sample));
        }
        self.last.truncate(KEPT);
    }

    /// Whether requests are sampled now, and the last of them.
    pub(super) fn last(&self) -> (bool, &VecDeque<(u64, Arc<Sample>)>) {
        (self.watch.is_some(), &self.last)
    }
}
