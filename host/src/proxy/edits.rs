//! What a route changes of a request before policies see it, and of every answer after them.

use rand::RngExt;

use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use super::worker::Worker;
use crate::config::{Cors, CorsList, FieldEdits, FieldValue, HostRewrite, RouteEdits};
use crate::message::names::is_alike;
use crate::message::trace_context::write_digits;
use crate::message::{ByRoute, Fields, RequestHead, syntax};
use crate::route;
use crate::upstream::PoolId;

/// Digits of an id.
const DIGITS: usize = 32;
/// What a route with `strip-prefix` tells backends of that.
const PREFIX: &str = "x-forwarded-prefix";
/// Beside the origin, what the answer to a preflight depends on.
const ASKED: [&str; 2] = [
    "access-control-request-method",
    "access-control-request-headers",
];

impl Exchange<'_> {
    /// Notes whose scripts may read the answer. Returns whether the request is a preflight.
    #[cold]
    pub(super) fn begin_cors(&mut self, cors: &Cors) -> bool {
        let head = &mut self.scratch.head;
        let reader = cors.reader(origin(&head.fields)).map(Into::into);
        by_route(head).reader = reader;
        head.preflight_for().is_some()
    }

    /// The answer to a preflight, which no policy and no backend is asked about.
    #[cold]
    pub(super) fn preflight(&mut self) -> Box<LocalReply> {
        match self.meet_client() {
            Ok(()) => Box::new(LocalReply::Preflight),
            Err(refusal) => refusal.into(),
        }
    }

    /// Changes the request as its route says.
    ///
    /// # Errors
    ///
    /// Some server would read the path that results as one that lies elsewhere.
    #[cold]
    pub(super) fn change_request(&mut self, edits: &RouteEdits) -> Result<(), Refusal> {
        let head = &mut self.scratch.head;
        if let Some(rewrite) = &edits.rewrite
            && head.path() != "*"
        {
            let target = route::rewritten(rewrite, head).ok_or(Refusal::AmbiguousPath)?;
            by_route(head).target = target;
            if let Some(prefix) = &rewrite.stripped {
                note_prefix(&mut head.fields, prefix);
            }
        }
        match &edits.host {
            None => {}
            Some(HostRewrite::To(host)) => by_route(head).authority.clone_from(host),
            Some(HostRewrite::OfBackend) => by_route(head).names_backend = true,
        }
        let filled = filled(&edits.request, head);
        remove_alike(&edits.request, &mut head.fields);
        edit(&edits.request, filled, &mut head.fields);
        Ok(())
    }

    /// Settles what fields will say of a request: its number, and the pool that takes it.
    #[cold]
    pub(super) fn name(&mut self, edits: &RouteEdits, pool: Option<PoolId>) {
        let (worker, view) = (self.client.worker(), self.view);
        let head = &mut self.scratch.head;
        if edits.says_id && head.id.is_empty() {
            new_id(worker, &mut head.id);
        }
        if let Some(pool) = pool.filter(|_| edits.says_pool) {
            let pool = view.pools.pool(pool);
            by_route(head).pool = pool.map(|pool| pool.topology.name.as_str().into());
        }
    }
}

/// Writes an id that no other request has.
pub(super) fn new_id(worker: &Worker, to: &mut String) {
    let mut digits = [0; DIGITS];
    write_digits(worker.rng.borrow_mut().random(), &mut digits);
    to.push_str(str::from_utf8(&digits).unwrap_or_default());
}

/// The origin of a request that says one.
fn origin(fields: &Fields) -> Option<&[u8]> {
    let mut origins = fields.values("origin");
    origins.next().filter(|_| origins.next().is_none())
}

fn by_route(head: &mut RequestHead) -> &mut ByRoute {
    head.by_route.get_or_insert_default()
}

/// A prefix that trusted proxies in front have removed comes before ours.
fn note_prefix(fields: &mut Fields, prefix: &str) {
    let mut whole = fields.first(PREFIX).unwrap_or_default().to_vec();
    while whole.last() == Some(&b'/') {
        whole.pop();
    }
    whole.extend_from_slice(prefix.as_bytes());
    fields.set(PREFIX.as_bytes(), &whole);
}

/// Removes fields that servers such as those of CGI take for the ones that are removed or set:
/// `x_tenant` is `HTTP_X_TENANT` to them, as `x-tenant` is.
fn remove_alike(edits: &FieldEdits, fields: &mut Fields) {
    let replaced = edits.set.iter().map(|(name, _)| name);
    for name in edits.remove.iter().chain(replaced) {
        if name.contains('-') {
            fields.retain(|field, _| !is_alike(field, name.as_bytes()));
        }
    }
}

/// The values with facts about the request in them, in the order in which they are written.
fn filled(edits: &FieldEdits, head: &RequestHead) -> Vec<Vec<u8>> {
    let written = edits.set.iter().chain(&edits.add);
    let values = written.filter_map(|(_, value)| match value {
        FieldValue::Fixed(_) => None,
        FieldValue::Filled(template) => Some(route::field_value(template, head)),
    });
    values.collect()
}

/// A field whose facts are all missing is not written.
fn edit(edits: &FieldEdits, filled: Vec<Vec<u8>>, fields: &mut Fields) {
    let replaced = edits.set.iter().map(|(name, _)| name);
    for name in edits.remove.iter().chain(replaced) {
        fields.note_edit(name.as_bytes());
        fields.remove(name.as_bytes());
    }
    let mut filled = filled.into_iter();
    for (name, value) in edits.set.iter().chain(&edits.add) {
        fields.note_edit(name.as_bytes());
        match value {
            FieldValue::Fixed(value) => fields.append(name.as_bytes(), value),
            FieldValue::Filled(_) => {
                if let Some(value) = filled.next().filter(|value| !value.is_empty()) {
                    fields.append(name.as_bytes(), &value);
                }
            }
        }
    }
}

/// Changes the fields of an answer to this request, a backend's or one of the proxy, as the route
/// says.
#[cold]
pub(super) fn change_answer(edits: &RouteEdits, head: &RequestHead, fields: &mut Fields) {
    edit(&edits.response, filled(&edits.response, head), fields);
    if let Some(cors) = &edits.cors {
        write_cors(cors, head, fields);
    }
}

/// In place of what the backend says of it.
fn write_cors(cors: &Cors, head: &RequestHead, fields: &mut Fields) {
    fields.retain(|name, _| !name.starts_with(b"access-control-"));
    let asked_for = head.preflight_for();
    if !cors.is_public() {
        vary(fields, "origin");
    }
    if asked_for.is_some() {
        ASKED.into_iter().for_each(|name| vary(fields, name));
    }
    let reader = head.by_route.as_ref().and_then(|by| by.reader.as_ref());
    let Some(reader) = reader else { return };
    let mut say = |name: &str, value: &[u8]| fields.append(name.as_bytes(), value);
    say("access-control-allow-origin", reader);
    if cors.credentials {
        say("access-control-allow-credentials", b"true");
    }
    let Some(method) = asked_for else {
        if let Some(exposed) = &cors.expose {
            say("access-control-expose-headers", exposed.as_bytes());
        }
        return;
    };
    let wanted = head.fields.values(ASKED[1]).flat_map(syntax::list);
    for (name, allowed) in [
        ("methods", allowed(&cors.methods, [method].into_iter())),
        ("headers", allowed(&cors.headers, wanted)),
    ] {
        if !allowed.is_empty() {
            say(&["access-control-allow-", name].concat(), &allowed);
        }
    }
    if let Some(age) = cors.max_age {
        say("access-control-max-age", age.to_string().as_bytes());
    }
}

/// What a preflight may do of what it wants; what is no name is not repeated to it.
fn allowed<'a>(list: &CorsList, wanted: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    match list {
        CorsList::All => {
            let names: Vec<&[u8]> = wanted.filter(|name| syntax::is_token(name)).collect();
            names.join(&b", "[..])
        }
        CorsList::These(these) => these.as_bytes().to_vec(),
    }
}

/// Says that the answer depends on this field of the request.
fn vary(fields: &mut Fields, name: &str) {
    let is_it = |member: &[u8]| member == b"*" || member.eq_ignore_ascii_case(name.as_bytes());
    let says = |fields: &Fields| fields.values("vary").flat_map(syntax::list).any(is_it);
    if !says(fields) {
        fields.append(b"vary", name.as_bytes());
    }
}
