//! Pintle: a host for native plugins.
//!
//! An application makes a [`Host`], points it at folders of plugins, and starts it:
//!
//! ```no_run
//! use pintle::{Host, events::{Draft, Topic}};
//!
//! # fn main() -> pintle::Result<()> {
//! let host = Host::builder().plugins("plugins").data("data").build()?;
//! let started = host.start();
//! for error in &started.failed {
//!     eprintln!("{error}");
//! }
//! host.emit("", Draft::new(Topic::parse("greet.world")?, "/my/application", *b"{}"))?;
//! host.stop();
//! # Ok(())
//! # }
//! ```
//!
//! Where to read on: `host.rs` puts everything together; `plugin/` goes from a file to a running plugin; `boundary/`
//! has the tables that plugins call; `lanes/` runs plugins; `services/` are the engines behind the tables.
//! ARCHITECTURE.md has the map.

#![deny(unsafe_code)]

mod application;
#[allow(unsafe_code, reason = "raw pointers become values here")]
mod boundary;
pub mod control;
#[cfg(feature = "bench-entry")]
#[allow(unsafe_code, reason = "C calls in")]
mod embed;
mod error;
mod folder;
mod host;
mod identity;
mod lanes;
pub mod metrics;
mod plugin;
mod services;
pub mod settings;
pub mod stats;

pub use boundary::SuspensionReason;
pub use error::{Error, ErrorKind, Result};
pub use host::{Host, HostBuilder, Started, Stopped};
pub use plugin::{PluginCounters, PluginInfo, PluginState, Suspension};
pub use settings::Settings;

/// Events: what an application publishes and is shown, and their forms as CloudEvents 1.0: as JSON, for lines and files, and
/// as headers and a body, for HTTP.
pub mod events {
    pub use crate::{
        application::{Delivery, DurableOptions, Receipt, SubscribeOptions},
        host::events::{ConsumerStats, DeadLetter, DeadLetters, DeadLettersOf, EventLogStats, LiveConsumer},
        services::events::{
            Counters, Draft, Drops, Emitted, Event, Extension, Filter, HandlerResult, Outcome, Pattern,
            Policy, Start, SubscriptionReport, Topic, Totals,
            cloud::{from_binary, from_json, to_binary, to_json},
            durable::DurableTotals,
        },
    };
}

/// The cache, as an application sees it.
pub mod cache {
    pub use crate::host::cache::{CacheItem, CacheKeys, CacheValue, PluginCache};
}

/// Operations that must happen once, as an application sees them.
pub mod idempotency {
    pub use crate::host::idempotency::{IdempotencyRecord, IdempotencyState, PluginIdempotency};
}

/// SQL databases, as an application sees them.
pub mod database {
    pub use crate::host::{
        database::{
            BackupOptions, BackupReport, DatabaseInfo, DatabaseList, DatabaseSize, PluginDatabase, SqlDone,
        },
        sql::{FromSql, SqlColumn, SqlRow, SqlValue},
    };
}

/// Files, as an application sees them.
pub mod files {
    pub use crate::host::files::{FileInfo, FilePaths, PluginFiles};
}

/// The storage, as an application sees it.
pub mod storage {
    pub use crate::{
        host::storage::{
            ExportOptions, ImportOptions, PluginStorage, SetOptions, StorageItem, StorageKeys, StorageScope,
        },
        services::storage::{ExportReport, ImportMode, ImportReport, StorageCheck},
    };
}

/// Jobs, as an application sees them.
pub mod scheduler {
    pub use crate::{
        application::{JobOptions, JobRun},
        host::jobs::{JobsOf, PastRun},
        services::scheduler::{
            JobInfo, Overlap,
            store::{Missed, RunKind},
        },
    };
}

/// Cron rules by themselves: whether a text is one, and when it is due. docs/cron.md says how they are written.
pub mod cron {
    pub use crate::services::scheduler::{CronRule as Rule, parse_rfc3339};
}

/// Looking at plugins without running anything of them.
pub mod inspect {
    pub use crate::plugin::{
        discover::{Candidate, Discovery, Skipped, discover, examine},
        inspect::{ENTRY, Endian, Format, Inspection, ManifestText, inspect, inspect_and_hash},
        manifest::{Abi, Manifest, Problem},
        ownership::TrustPolicy,
    };
}

/// The log: levels, and where records go.
pub mod log {
    pub use crate::services::log::{Format, Level, LevelList, Options, Target};
}

/// Parts that the benches measure on their own. No promise is made about them.
#[doc(hidden)]
pub mod bench_parts {
    use std::path::Path;

    use crate::inspect::Candidate;
    pub use crate::services::log;

    /// The cache without host and boundary.
    pub mod cache {
        use std::{path::Path, sync::Arc};

        use crate::{
            boundary::{Moment, Pages},
            identity::{DataScope, Tenant, Tenants},
            services::{
                cache::{
                    Address, CacheBackend, Draft, Lifetime, MemoryCache, SqliteCache, SqliteOptions, Tiered,
                    TieredOptions, Value,
                },
                clock::SystemClock,
                keys::{Key, Namespace},
            },
        };

        /// As a host has it.
        fn clock() -> Arc<SystemClock> {
            Arc::new(SystemClock::with_coarse(|| Moment::now().since_start()))
        }

        /// An engine, as one plugin uses one namespace of it in the system scope.
        pub struct Engine {
            engine: Box<dyn CacheBackend>,
            tenants: Tenants,
            plugin: Arc<str>,
            namespace: Namespace<'static>,
        }

        /// A key that was checked: the engine itself takes no other.
        #[derive(Clone, Copy)]
        pub struct Name<'a>(Key<'a>);

        impl<'a> Name<'a> {
            /// Of 1 to 512 bytes of UTF-8.
            pub fn of(key: &'a [u8]) -> Self {
                Self(Key::parse("key", key).expect("it is one"))
            }
        }

        impl Engine {
            /// That in memory, with so many bytes.
            pub fn memory(capacity: usize) -> Self {
                Self::of(Box::new(MemoryCache::new(capacity, clock(), Arc::<Pages>::default())))
            }

            /// Memory over a file, as a host has them.
            pub fn over_sqlite(capacity: usize, path: &Path) -> crate::Result<Self> {
                let options = SqliteOptions {
                    capacity: 1 << 30,
                    clock: clock(),
                    report: Box::new(|error| eprintln!("{error}")),
                };
                let far = Box::new(SqliteCache::open(path, options)?);
                let options = TieredOptions { max_age: None, clock: clock(), report: Box::new(|_| ()) };
                Ok(Self::of(Box::new(Tiered::new(
                    MemoryCache::new(capacity, clock(), Arc::<Pages>::default()),
                    far,
                    options,
                ))))
            }

            fn of(engine: Box<dyn CacheBackend>) -> Self {
                let namespace = Namespace::parse("ns", b"sessions").expect("it is one");
                Self { engine, tenants: Tenants::new(), plugin: "bench".into(), namespace }
            }

            /// Whether there are 64 bytes, which are copied then.
            #[inline]
            pub fn get_into(&self, key: Name<'_>, out: &mut [u8; 64]) -> bool {
                let found = self.engine.get(&self.at(key.0), &mut |item| {
                    if let Value::Bytes(bytes) = item.value {
                        out.copy_from_slice(bytes);
                    }
                });
                found.expect("it answers")
            }

            /// Writes bytes for a while.
            #[inline]
            pub fn set(&self, key: Name<'_>, value: &[u8], ttl_ms: i64) {
                let draft = Draft::of(Value::Bytes(value), Lifetime::Ms(ttl_ms));
                self.engine.set(&self.at(key.0), &draft).expect("it fits");
            }

            /// Counts.
            #[inline]
            pub fn incr(&self, key: Name<'_>) -> i64 {
                self.engine.incr(&self.at(key.0), 1, Lifetime::Endless).expect("it counts")
            }

            /// How many items there are.
            pub fn items(&self) -> u64 {
                self.engine.usage().expect("it is counted").iter().map(|usage| usage.items).sum()
            }

            /// What they take, by its own count.
            pub fn bytes(&self) -> u64 {
                self.engine.usage().expect("it is counted").iter().map(|usage| usage.bytes).sum()
            }

            #[inline]
            fn at<'a>(&'a self, key: Key<'a>) -> Address<'a> {
                let scope = DataScope::new(1, &self.plugin, Tenant::SYSTEM, &self.tenants);
                Address { scope, namespace: self.namespace, key }
            }
        }
    }

    /// Stages a copy of a plugin as loading it does. The copy is removed when the answer is dropped.
    pub fn stage(candidate: &Candidate, private: &Path, generation: u64) -> crate::Result<impl Sized> {
        let policy = crate::plugin::ownership::TrustPolicy::default();
        crate::plugin::stage::stage(&candidate.path, Some(candidate), private, generation, &policy)
    }
}

/// Parts that take any bytes, for `fuzz/`. No promise is made about them.
#[cfg(feature = "fuzz-entry")]
#[doc(hidden)]
pub mod fuzz_parts {
    use std::sync::Arc;

    use crate::{
        boundary::Pages,
        identity::{DataScope, Tenant, Tenants},
        services::{
            cache::{self, Address, CacheBackend, Draft, Lifetime, MemoryCache, Value, naive_glob},
            clock::SystemClock,
            keys::{Key, Namespace},
        },
    };

    /// A pattern over keys.
    pub struct Glob(cache::Glob);

    impl Glob {
        /// As a plugin gives it.
        pub fn parse(pattern: &[u8]) -> crate::Result<Self> {
            cache::Glob::parse("pattern", pattern).map(Self)
        }

        /// Whether the key matches, and the steps that it took.
        pub fn matches_counted(&self, key: &str) -> (bool, usize) {
            assert_eq!(self.0.matches(key), self.0.matches_counted(key).0, "counting changes nothing");
            self.0.matches_counted(key)
        }

        /// What every key that matches begins with.
        pub fn literal_prefix(&self) -> &str {
            self.0.literal_prefix()
        }

        /// Whether `pattern`, which is one, matches the key, found out in the plainest way.
        pub fn matches_plainly(pattern: &str, key: &str) -> bool {
            naive_glob::matches(pattern, key)
        }
    }

    /// Whether the bytes are taken for a tag or a namespace.
    pub fn is_name(bytes: &[u8]) -> crate::Result<()> {
        Namespace::parse("name", bytes).map(drop)
    }

    /// A small cache in memory.
    pub struct Cache {
        engine: MemoryCache,
        tenants: Tenants,
        held: Vec<Tenant>,
        plugins: Vec<Arc<str>>,
    }

    impl Cache {
        /// With these plugins and tenants, known by their places from here on.
        pub fn new(plugins: &[&str], tenants: &[&str]) -> Self {
            let registry = Tenants::new();
            Self {
                engine: MemoryCache::new(16 << 20, Arc::new(SystemClock::new()), Arc::<Pages>::default()),
                held: tenants.iter().map(|name| registry.named(name)).collect(),
                tenants: registry,
                plugins: plugins.iter().map(|id| Arc::from(*id)).collect(),
            }
        }

        /// Writes, for good.
        pub fn set(&self, owner: (usize, usize), ns: &[u8], key: &[u8], value: &[u8]) -> crate::Result<()> {
            let draft = Draft::of(Value::Bytes(value), Lifetime::Endless);
            self.engine.set(&self.at(owner, ns, key)?, &draft).map(drop)
        }

        /// What is there.
        pub fn get(&self, owner: (usize, usize), ns: &[u8], key: &[u8]) -> crate::Result<Option<Vec<u8>>> {
            let mut found = None;
            self.engine.get(&self.at(owner, ns, key)?, &mut |item| {
                if let Value::Bytes(bytes) = item.value {
                    found = Some(bytes.to_vec());
                }
            })?;
            Ok(found)
        }

        /// Tells whether it was there.
        pub fn remove(&self, owner: (usize, usize), ns: &[u8], key: &[u8]) -> crate::Result<bool> {
            self.engine.remove(&self.at(owner, ns, key)?)
        }

        fn at<'a>(
            &'a self,
            (plugin, tenant): (usize, usize),
            ns: &'a [u8],
            key: &'a [u8],
        ) -> crate::Result<Address<'a>> {
            let tenant = self.held[tenant].number();
            Ok(Address {
                scope: DataScope::new(plugin as u64 + 1, &self.plugins[plugin], tenant, &self.tenants),
                namespace: Namespace::parse("ns", ns)?,
                key: Key::parse("key", key)?,
            })
        }
    }
}
