//! Calls by message: from a plugin or the application to the plugin that provides the service, over its lane.

use std::{sync::Arc, time::Instant};

use super::{
    Plugins,
    entry::Entry,
    generation::{Answer, Generation},
    library::Request,
};
use crate::{
    boundary::{Core, Message, Router},
    error::{Error, ErrorKind, Result},
    identity::Tenant,
    lanes::{Lane, Pending, Promise, Run, Task, Turn},
};

impl Router for Plugins {
    fn call(&self, message: Message<'_>) -> Result<Vec<u8>> {
        let Message { service, major, method, .. } = message;
        let provider = self.provider(service, major)?;
        let (generation, lane) = provider.enabled()?;
        // Another generation than the one that `provider` looked at may provide less.
        let provided = generation.manifest().provides.get(service);
        let methods = provided.map_or(&[][..], |provided| provided.methods.as_slice());
        if !methods.iter().any(|known| known == method) {
            let (id, method, service) = (provider.id().clone(), method.to_owned(), service.to_owned());
            let known = methods.join(", ");
            return Err(Error::lazy(ErrorKind::Unsupported, move || {
                format!("service \"{service}\" of plugin \"{id}\" has no method \"{method}\": it has {known}")
            }));
        }
        drop(generation);
        let core = self.core();
        let (pending, promise) = Pending::pair();
        let task = Arc::new(CallTask {
            core,
            provider: provider.clone(),
            caller: message.caller.into(),
            service: service.into(),
            major,
            method: method.into(),
            data: message.data,
            tenant: message.tenant,
            depth: message.depth,
            deadline: message.deadline,
            lane: lane.clone(),
            promise,
        });
        let push = || lane.push(task);
        let answer = core.pool.wait_for(&lane, Turn::Queued, message.from, &pending, message.deadline, push);
        answer.unwrap_or_else(|error| match error.kind() {
            ErrorKind::Timeout => {
                let (id, service, method) = (provider.id().clone(), service.to_owned(), method.to_owned());
                Err(Error::lazy(ErrorKind::Timeout, move || {
                    format!("plugin \"{id}\" did not answer \"{service}.{method}\" in time; it may still do what was asked")
                }))
            }
            _ => Err(error),
        })
    }
}

/// A task: one call by message. Names the provider, so that whatever generation is live then answers it.
struct CallTask {
    core: &'static Core,
    provider: Arc<Entry>,
    caller: Box<str>,
    service: Box<str>,
    major: u32,
    method: Box<str>,
    data: Vec<u8>,
    tenant: Tenant,
    depth: u16,
    deadline: Instant,
    /// Where it stands in line.
    lane: Arc<Lane>,
    promise: Promise<Result<Vec<u8>>>,
}

impl Task for CallTask {
    fn run(&self, run: &mut Run<'_>) {
        if self.promise.is_given_up() {
            return;
        }
        let answer = match self.provider.enabled() {
            // Between generations a plugin may get another lane; what stood in the old one is not alone with it.
            Ok((generation, lane)) if Arc::ptr_eq(&lane, &self.lane) => self.ask(&generation, run),
            Ok(_) => Some(Err(Error::new(
                ErrorKind::Unavailable,
                "the plugin was loaded anew with another concurrency before it could answer: call again",
            ))),
            Err(error) => Some(Err(error)),
        };
        if let Some(answer) = answer {
            // If nobody waits any more there is nobody to tell.
            let _ = self.promise.finish(answer);
        }
    }

    fn describe(&self) -> String {
        format!("the call \"{}.{}\" from {}", self.service, self.method, self.caller)
    }
}

impl CallTask {
    fn ask(&self, generation: &Generation, run: &mut Run<'_>) -> Option<Result<Vec<u8>>> {
        let request = Request {
            caller: &self.caller,
            service: &self.service,
            major: self.major,
            method: &self.method,
            data: &self.data,
        };
        let deadline = self.core.moment(self.deadline);
        let answer = Answer { tenant: &self.tenant, depth: self.depth, deadline, request };
        generation.answer(run, &answer, |ctx| self.promise.start(ctx))
    }
}
