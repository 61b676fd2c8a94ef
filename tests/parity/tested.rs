//! The mirror in the SDK's test host.

use std::time::Duration;

use pintle_plugin::{Error, Result, Status, test};
use serde_json::Value;

use crate::{Side, mirror::Mirror};

pub(crate) struct Tested(test::Host);

impl Tested {
    /// Plays `panicky` beside the mirror.
    pub(crate) fn start(config: &Value) -> Self {
        let panicky = |method: &str, request: &[u8]| match method {
            "run" => Ok(b"\"fine\"".to_vec()),
            "burst" if serde_json::from_slice::<String>(request).is_err() => {
                Err(Error::new(Status::InvalidArgument, "no text"))
            }
            "burst" => Err(Error::new(Status::Panic, "as it was told to")),
            _ => Err(Error::new(Status::Unsupported, "no such method")),
        };
        let host = test::Host::new().config(config.clone()).provide("panicky.run", 1, panicky);
        let host =
            host.log_level(pintle_plugin::Level::Info)
                .listen("application", "plugin.mirror.deep.>", |_| Ok(b"heard".to_vec()));
        Self(host.start::<Mirror>().expect("it starts"))
    }

    fn of(&self, tenant: &str) -> Option<test::Scoped> {
        (!tenant.is_empty()).then(|| self.0.tenant(tenant))
    }
}

fn status<T>(outcome: Result<T>) -> std::result::Result<T, String> {
    outcome.map_err(|error| format!("{:?}", error.status()))
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("the mirror writes text")
}

impl Side for Tested {
    fn call(
        &self,
        tenant: &str,
        service: &str,
        method: &str,
        request: &str,
    ) -> std::result::Result<String, String> {
        let scope = self.of(tenant);
        status(scope.as_ref().unwrap_or(&self.0).call(service, method, request.as_bytes())).map(text)
    }

    fn emit(&self, tenant: &str, topic: &str, data: &str) -> std::result::Result<String, String> {
        let scope = self.of(tenant);
        let replies = status(scope.as_ref().unwrap_or(&self.0).emit(topic, data.as_bytes()))?;
        Ok(replies.into_iter().map(text).collect::<Vec<_>>().join(" "))
    }

    fn settle(&self) {}

    fn until(&self, _: usize, milliseconds: u64) {
        self.pass(milliseconds);
    }

    fn dead(&self, _: usize) -> Vec<String> {
        let letters = self.0.dead_letters();
        letters
            .iter()
            .map(|one| crate::dead_letter(&one.subscription, &one.event.data, one.attempts, &one.reason))
            .collect()
    }

    fn pass(&self, milliseconds: u64) {
        self.0.advance(Duration::from_millis(milliseconds)).expect("nothing runs");
    }

    fn disable(&self) -> std::result::Result<(), String> {
        status(self.0.disable())
    }

    fn enable(&self) -> std::result::Result<(), String> {
        status(self.0.enable())
    }

    fn configure(&self, config: &Value) -> std::result::Result<(), String> {
        status(self.0.configure(config.clone()))
    }
}
