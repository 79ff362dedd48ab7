//! What hooks are asked about, and what they edit.

use super::current;
use crate::{HeaderError, TargetError};

#[derive(Debug)]
pub struct Request;

impl Request {
    pub fn method(&self) -> String {
        current(|state| state.turn.request.method.clone())
    }
    pub fn scheme(&self) -> String {
        current(|state| state.turn.request.scheme.to_owned())
    }
    pub fn host(&self) -> String {
        current(|state| state.turn.request.host.clone())
    }
    pub fn path(&self) -> String {
        current(|state| state.turn.request.path.clone())
    }
    pub fn raw_path(&self) -> String {
        current(|state| state.turn.request.raw_path.clone())
    }
    pub fn query(&self) -> Option<String> {
        current(|state| state.turn.request.query.clone())
    }
    pub fn client_address(&self) -> String {
        current(|state| state.turn.request.client.clone())
    }
    pub fn pool(&self) -> u32 {
        current(|state| state.turn.request.pool)
    }
    pub fn pools(&self) -> Vec<u32> {
        current(|state| state.turn.request.pools())
    }
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        current(|state| state.turn.request.fields.first(name).map(<[u8]>::to_vec))
    }
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        current(|state| {
            state
                .turn
                .request
                .fields
                .values(name)
                .map(<[u8]>::to_vec)
                .collect()
        })
    }
    pub fn header_names(&self) -> Vec<String> {
        current(|state| {
            state
                .turn
                .request
                .fields
                .names()
                .map(str::to_owned)
                .collect()
        })
    }
}

#[derive(Debug)]
pub struct Headers;

impl Headers {
    pub fn first(&self, name: &str) -> Option<Vec<u8>> {
        current(|state| state.turn.message().first(name).map(<[u8]>::to_vec))
    }
    pub fn values(&self, name: &str) -> Vec<Vec<u8>> {
        current(|state| {
            state
                .turn
                .message()
                .values(name)
                .map(<[u8]>::to_vec)
                .collect()
        })
    }
    pub fn names(&self) -> Vec<String> {
        current(|state| state.turn.message().names().map(str::to_owned).collect())
    }
    pub fn set(&self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        current(|state| {
            state
                .turn
                .edit(name, value, |fields| fields.set(name, value))
        })
    }
    pub fn append(&self, name: &str, value: &[u8]) -> Result<(), HeaderError> {
        current(|state| {
            state
                .turn
                .edit(name, value, |fields| fields.append(name, value))
        })
    }
    pub fn remove(&self, name: &str) -> Result<(), HeaderError> {
        current(|state| state.turn.edit(name, b"", |fields| fields.remove(name)))
    }
}

#[derive(Debug)]
pub struct Target;

impl Target {
    pub fn path(&self) -> String {
        current(|state| state.turn.target.path.clone())
    }
    pub fn query(&self) -> Option<String> {
        current(|state| state.turn.target.query.clone())
    }
    pub fn host(&self) -> String {
        current(|state| state.turn.target.host.clone())
    }
    pub fn set_path(&self, path: &str) -> Result<(), TargetError> {
        current(|state| {
            state
                .turn
                .edit_target(|target, budget| target.set_path(path, budget))
        })
    }
    pub fn set_query(&self, query: Option<&str>) -> Result<(), TargetError> {
        current(|state| {
            state
                .turn
                .edit_target(|target, budget| target.set_query(query, budget))
        })
    }
    pub fn set_host(&self, host: &str) -> Result<(), TargetError> {
        current(|state| {
            state
                .turn
                .edit_target(|target, budget| target.set_host(host, budget))
        })
    }
}
