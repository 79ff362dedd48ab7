//! The exports of a policy: which of them it has, their types, and how to call them.

use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, ComponentType, Instance, InstancePre,
    Lift, Lower, Resource, TypedFunc,
};
use wasmtime::{AsContextMut, Store};

use super::answer::LocalSource;
use super::error::Refusal;
use super::hook::Hook;
use super::lines::sentence;
use super::resources::{Headers, Request, Target};
use super::state::State;
use crate::upstream::{Completion, RequestFailure};

/// The version of the contract that this host speaks.
pub(super) const PACKAGE: &str = "waypost:policy@0.1.0";

/// Which hooks a policy exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hooks {
    /// `configuration`
    pub configuration: bool,
    /// `topology`
    pub topology: bool,
    /// `destination`
    pub destination: bool,
    /// `selection`
    pub selection: bool,
    /// `request-headers`
    pub request_headers: bool,
    /// `request-target`
    pub request_target: bool,
    /// `routing`
    pub routing: bool,
    /// `response-headers`
    pub response_headers: bool,
    /// `local-response`
    pub local_response: bool,
    /// `range`
    pub range: bool,
    /// `completion`
    pub completion: bool,
}

impl Hooks {
    /// Whether this one is there.
    pub fn has(self, hook: Hook) -> bool {
        match hook {
            Hook::Destination => self.destination,
            Hook::Range => self.range,
            Hook::RequestHeaders => self.request_headers,
            Hook::RequestTarget => self.request_target,
            Hook::Routing => self.routing,
            Hook::Selection => self.selection,
            Hook::ResponseHeaders => self.response_headers,
            Hook::LocalResponse => self.local_response,
            Hook::Completion => self.completion,
        }
    }

    /// The names of those that are there.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let told = [
            ("configuration", self.configuration),
            ("topology", self.topology),
        ];
        let asked = Hook::ALL.map(|hook| (hook.name(), self.has(hook)));
        told.into_iter()
            .chain(asked)
            .filter_map(|(name, there)| there.then_some(name))
    }
}

/// `types.response`
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct WitResponse {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// `topology.pool`
#[derive(ComponentType, Lower, Debug, PartialEq, Eq)]
#[component(record)]
pub(super) struct WitPool {
    pub id: u32,
    pub name: String,
}

/// `topology.backend`
#[derive(ComponentType, Lower, Debug, PartialEq, Eq)]
#[component(record)]
pub(super) struct WitBackend {
    pub address: String,
    pub weight: u32,
    pub labels: Vec<(String, String)>,
}

/// `range.byte-range`
#[derive(ComponentType, Lift, Clone, Copy)]
#[component(record)]
pub(super) struct WitByteRange {
    pub first: Option<u64>,
    pub last: Option<u64>,
}

/// `local-response.source`
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum WitSource {
    #[component(name = "proxy")]
    Proxy,
    #[component(name = "policy")]
    Policy,
}

impl From<LocalSource> for WitSource {
    fn from(source: LocalSource) -> Self {
        match source {
            LocalSource::Proxy => Self::Proxy,
            LocalSource::Policy => Self::Policy,
        }
    }
}

/// `completion.failure`
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum WitFailure {
    #[component(name = "client")]
    Client,
    #[component(name = "policy")]
    Policy,
    #[component(name = "refused")]
    Refused,
    #[component(name = "backend")]
    Backend,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "cancelled")]
    Cancelled,
}

/// `completion.outcome`
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct WitOutcome {
    pub pool: u32,
    pub backend: Option<u32>,
    pub status: Option<u16>,
    pub failure: Option<WitFailure>,
    pub attempts: u32,
    #[component(name = "first-byte-microseconds")]
    pub first_byte_microseconds: Option<u64>,
    #[component(name = "latency-microseconds")]
    pub latency_microseconds: Option<u64>,
    #[component(name = "duration-microseconds")]
    pub duration_microseconds: u64,
    #[component(name = "request-bytes")]
    pub request_bytes: u64,
    #[component(name = "response-bytes")]
    pub response_bytes: u64,
}

impl WitOutcome {
    /// What became of a request for this pool.
    pub(super) fn new(pool: u32, of: &Completion) -> Self {
        Self {
            pool,
            backend: of.backend,
            status: of.status,
            failure: of.failure.map(Into::into),
            attempts: of.attempts,
            first_byte_microseconds: of.first_byte_microseconds,
            latency_microseconds: of.latency_microseconds,
            duration_microseconds: of.duration_microseconds,
            request_bytes: of.request_bytes,
            response_bytes: of.response_bytes,
        }
    }
}

impl From<RequestFailure> for WitFailure {
    fn from(failure: RequestFailure) -> Self {
        match failure {
            RequestFailure::Client => Self::Client,
            RequestFailure::Policy => Self::Policy,
            RequestFailure::Refused => Self::Refused,
            RequestFailure::Backend => Self::Backend,
            RequestFailure::Timeout => Self::Timeout,
            RequestFailure::Cancelled => Self::Cancelled,
        }
    }
}

type Answer<T> = (Result<T, WitResponse>,);
type Configure = TypedFunc<(Arc<str>,), (Result<(), String>,)>;
type BackendsChanged = TypedFunc<(Arc<WitPool>, u64, Arc<[WitBackend]>), ()>;
type Select = TypedFunc<(Resource<Request>, u32, u32), Answer<Option<u32>>>;
type Decide = TypedFunc<(Resource<Request>, u16, Option<Arc<str>>), Answer<Option<u32>>>;
type Route = TypedFunc<(Resource<Request>,), Answer<Option<u32>>>;
type EditTarget = TypedFunc<(Resource<Request>, Resource<Target>), Answer<()>>;
type EditLocalResponse = TypedFunc<(Resource<Request>, u16, WitSource, Resource<Headers>), ()>;
type EditRequest = TypedFunc<(Resource<Request>, Resource<Headers>), Answer<()>>;
type EditResponse = TypedFunc<(Resource<Request>, u16, u32, Resource<Headers>), Answer<()>>;
type Check = TypedFunc<(Resource<Request>,), Answer<Option<Vec<WitByteRange>>>>;
type Completed = TypedFunc<(Resource<Request>, WitOutcome), ()>;

/// Where the hooks are in a component; looked up once per component.
#[derive(Clone, Copy)]
pub(super) struct ExportIndices {
    configure: Option<ComponentExportIndex>,
    backends_changed: Option<ComponentExportIndex>,
    select: Option<ComponentExportIndex>,
    decide: Option<ComponentExportIndex>,
    edit_request: Option<ComponentExportIndex>,
    edit_target: Option<ComponentExportIndex>,
    route: Option<ComponentExportIndex>,
    edit_response: Option<ComponentExportIndex>,
    edit_local_response: Option<ComponentExportIndex>,
    check: Option<ComponentExportIndex>,
    completed: Option<ComponentExportIndex>,
}

impl ExportIndices {
    /// Finds the hooks and checks their types.
    pub(super) fn find(pre: &InstancePre<State>) -> Result<Self, Refusal> {
        Ok(Self {
            configure: hook::<(Arc<str>,), (Result<(), String>,)>(
                pre,
                "configuration",
                "configure",
            )?,
            backends_changed: hook::<(Arc<WitPool>, u64, Arc<[WitBackend]>), ()>(
                pre,
                "topology",
                "backends-changed",
            )?,
            select: hook::<(Resource<Request>, u32, u32), Answer<Option<u32>>>(
                pre,
                "selection",
                "select",
            )?,
            decide: hook::<(Resource<Request>, u16, Option<Arc<str>>), Answer<Option<u32>>>(
                pre,
                "destination",
                "decide",
            )?,
            edit_request: hook::<(Resource<Request>, Resource<Headers>), Answer<()>>(
                pre,
                "request-headers",
                "edit-request",
            )?,
            edit_target: hook::<(Resource<Request>, Resource<Target>), Answer<()>>(
                pre,
                "request-target",
                "edit-target",
            )?,
            route: hook::<(Resource<Request>,), Answer<Option<u32>>>(pre, "routing", "route")?,
            edit_response: hook::<(Resource<Request>, u16, u32, Resource<Headers>), Answer<()>>(
                pre,
                "response-headers",
                "edit-response",
            )?,
            edit_local_response: hook::<(Resource<Request>, u16, WitSource, Resource<Headers>), ()>(
                pre,
                "local-response",
                "edit-local-response",
            )?,
            check: hook::<(Resource<Request>,), Answer<Option<Vec<WitByteRange>>>>(
                pre, "range", "check",
            )?,
            completed: hook::<(Resource<Request>, WitOutcome), ()>(pre, "completion", "completed")?,
        })
    }

    /// Which hooks there are.
    pub(super) fn hooks(&self) -> Hooks {
        Hooks {
            configuration: self.configure.is_some(),
            topology: self.backends_changed.is_some(),
            destination: self.decide.is_some(),
            selection: self.select.is_some(),
            request_headers: self.edit_request.is_some(),
            request_target: self.edit_target.is_some(),
            routing: self.route.is_some(),
            response_headers: self.edit_response.is_some(),
            local_response: self.edit_local_response.is_some(),
            range: self.check.is_some(),
            completion: self.completed.is_some(),
        }
    }

    /// The typed functions of one instance.
    pub(super) fn resolve(
        &self,
        store: &mut Store<State>,
        instance: &Instance,
    ) -> wasmtime::Result<Exports> {
        Ok(Exports {
            configure: typed(store, instance, self.configure)?,
            backends_changed: typed(store, instance, self.backends_changed)?,
            select: typed(store, instance, self.select)?,
            decide: typed(store, instance, self.decide)?,
            edit_request: typed(store, instance, self.edit_request)?,
            edit_target: typed(store, instance, self.edit_target)?,
            route: typed(store, instance, self.route)?,
            edit_response: typed(store, instance, self.edit_response)?,
            edit_local_response: typed(store, instance, self.edit_local_response)?,
            check: typed(store, instance, self.check)?,
            completed: typed(store, instance, self.completed)?,
        })
    }
}

/// The hooks of one instance, ready to be called.
pub(super) struct Exports {
    pub configure: Option<Configure>,
    pub backends_changed: Option<BackendsChanged>,
    pub select: Option<Select>,
    pub decide: Option<Decide>,
    pub edit_request: Option<EditRequest>,
    pub edit_target: Option<EditTarget>,
    pub route: Option<Route>,
    pub edit_response: Option<EditResponse>,
    pub edit_local_response: Option<EditLocalResponse>,
    pub check: Option<Check>,
    pub completed: Option<Completed>,
}

/// The full name of an interface of the contract.
pub(super) fn interface(name: &str) -> String {
    let (package, version) = PACKAGE.split_once('@').unwrap_or((PACKAGE, ""));
    format!("{package}/{name}@{version}")
}

fn hook<P, R>(
    pre: &InstancePre<State>,
    interface_name: &str,
    function: &str,
) -> Result<Option<ComponentExportIndex>, Refusal>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let component: &Component = pre.component();
    let Some(instance) = component.get_export_index(None, interface(interface_name).as_str())
    else {
        return Ok(None);
    };
    let mismatch = |detail: String| Refusal::HookType {
        hook: format!("{interface_name}.{function}"),
        detail,
    };
    match component.get_export(Some(&instance), function) {
        Some((ComponentItem::ComponentFunc(found), index)) => {
            found
                .typecheck::<P, R>(&pre.instance_type())
                .map_err(|e| mismatch(sentence(format_args!("{e:#}"))))?;
            Ok(Some(index))
        }
        Some(_) => Err(mismatch("it is not a function".to_owned())),
        None => Err(mismatch("the function is missing".to_owned())),
    }
}

fn typed<P, R>(
    store: &mut Store<State>,
    instance: &Instance,
    index: Option<ComponentExportIndex>,
) -> wasmtime::Result<Option<TypedFunc<P, R>>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    index
        .map(|index| instance.get_typed_func::<P, R>(store.as_context_mut(), index))
        .transpose()
}
