//! A route as written.

use super::retry::RetryEntry;
use super::traffic::TrafficEntry;
use super::{
    Compression, Conditions, HostPattern, Layer4, PathMatch, RouteAnswer, RouteEdits, TargetRights,
};
use crate::document::At;

/// `[[routes]]` with its names not yet resolved.
#[derive(Debug)]
pub(super) struct RouteEntry {
    pub hosts: Vec<At<HostPattern>>,
    pub path: PathMatch,
    pub conditions: Conditions,
    pub traffic: TrafficEntry,
    pub answer: Option<RouteAnswer>,
    pub edits: RouteEdits,
    /// `None` if the key is missing.
    pub policies: Option<Vec<At<String>>>,
    pub rights: Option<At<TargetRights>>,
    pub preserve_header_case: bool,
    pub retry: RetryEntry,
    /// `None` if the key is missing.
    pub upgrade: Option<Vec<String>>,
    pub compress: Option<Compression>,
    pub layer4: Option<Layer4>,
}
