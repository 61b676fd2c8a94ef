//! Suspensions: a plugin that has used up a budget is disabled until it has cooled down, or until somebody releases it.
//!
//! A suspended plugin is loaded and not enabled. `enable`, `disable` and `unload` end the suspension, in `set`; what this
//! file adds is how it begins, and how it ends by itself.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    PluginState, Plugins,
    entry::Entry,
    supervisor::{Supervisor, Suspended, Ward, Wards},
};
use crate::{
    boundary::{Limits, Overrun, SuspensionReason, Trip, Watch, span},
    error::{Error, ErrorKind, Result},
    lanes::Lane,
    services::{
        clock::Clock,
        log::{Field, Level},
    },
    settings::BudgetSettings,
    stats::SuspensionStats,
};

/// Why a plugin is disabled that has used up a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Suspension {
    /// Which budget.
    pub reason: SuspensionReason,
    /// The same with the numbers: `12 of 40 handlers failed within 60 s, 25 % are allowed`.
    pub text: String,
    /// Since when.
    pub since: SystemTime,
    /// When it is enabled again; none: when it is released by hand.
    pub until: Option<SystemTime>,
}

/// A suspension, as the plugin's entry keeps it. Times are milliseconds since 1970 UTC.
pub(super) struct Suspending {
    /// In which arming it tripped.
    pub(super) arming: u64,
    pub(super) reason: SuspensionReason,
    pub(super) text: String,
    pub(super) since_ms: i64,
    pub(super) until_ms: Option<i64>,
}

/// Who ends a suspension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Cooldown,
    Operator,
}

impl By {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cooldown => "cooldown",
            Self::Operator => "operator",
        }
    }
}

impl Suspending {
    pub(super) fn told(&self) -> Suspension {
        Suspension {
            reason: self.reason,
            text: self.text.clone(),
            since: time(self.since_ms),
            until: self.until_ms.map(time),
        }
    }

    pub(super) fn stats(&self) -> SuspensionStats {
        SuspensionStats {
            reason: self.reason.name(),
            text: self.text.clone(),
            since_ms: self.since_ms,
            until_ms: self.until_ms,
        }
    }
}

/// Budgets, and who looks after them: nobody where none is set.
pub(super) struct Budgets(Option<Arc<Supervisor>>);

impl Budgets {
    pub(super) fn new(any: bool, clock: Arc<dyn Clock>) -> Self {
        Self(any.then(|| Supervisor::new(clock)))
    }

    /// Who watches a plugin's handlers; nobody where it has no budgets and slow ones are not to be counted.
    pub(super) fn watch(&self, plugin: &Arc<str>, settings: &BudgetSettings) -> Option<Watch> {
        let BudgetSettings { window, slow_after, slow, stuck, errors_percent, errors_least, cooldown: _ } =
            *settings;
        let limits = Limits { window, slow_after, slow, stuck, errors_percent, errors_least };
        let overrun: Arc<dyn Overrun> = match &self.0 {
            Some(supervisor) => supervisor.clone(),
            None => Arc::new(Nobody),
        };
        (settings.any() || slow_after.is_some()).then(|| Watch::new(plugin, limits, overrun))
    }

    /// Nobody is suspended or released any more; false if that is not certain by `deadline`.
    pub(super) fn end(&self, deadline: Instant) -> bool {
        self.0.as_ref().is_none_or(|supervisor| supervisor.end(deadline))
    }
}

/// Where slow handlers are counted, and nothing is too much.
struct Nobody;

impl Overrun for Nobody {
    fn overrun(&self, _: Trip) {}
}

impl Plugins {
    /// Begins to look after budgets, where some are set.
    pub(crate) fn supervise(self: &Arc<Self>) -> Result<()> {
        match &self.budgets().0 {
            Some(supervisor) => supervisor.start(self.clone()),
            None => Ok(()),
        }
    }

    /// A call of a lane is past its deadline.
    pub(crate) fn note_stuck(&self, lane: &Arc<Lane>) {
        // The application's lanes have names too, which plugins may have as well.
        let is_its =
            |entry: &Entry| entry.state.lock().lane.as_ref().is_some_and(|its| Arc::ptr_eq(its, lane));
        if let Some(entry) = self.entry_of(lane.name()).filter(|entry| is_its(entry))
            && let Some(watch) = entry.metrics.watch()
        {
            watch.stuck();
        }
    }

    /// Enables a plugin that is suspended.
    pub(crate) fn release(&self, id: &str) -> Result<()> {
        let entry = self.known(id)?;
        let _step = entry.step.lock();
        entry.loaded()?;
        if entry.state.lock().suspension.is_none() {
            return Err(Error::new(ErrorKind::NotFound, "it is not suspended").of(id));
        }
        self.enable_loaded(&entry, By::Operator)
    }

    fn wall_ms(&self) -> i64 {
        self.budgets().0.as_ref().map_or(0, |supervisor| supervisor.clock().now_ms())
    }

    fn cooldown(&self, id: &str) -> Option<Duration> {
        self.budgets_of(id).cooldown
    }
}

impl Wards for Plugins {
    fn suspend(&self, trip: &Trip) -> Suspended {
        let Some(entry) = self.entry_of(&trip.plugin) else { return Suspended::Over };
        let cooldown = self.cooldown(&entry.id);
        let since_ms = self.wall_ms();
        let until_ms = cooldown.map(|cooldown| later(since_ms, cooldown));
        let reason = trip.excess.reason.name();
        {
            let mut state = entry.state.lock();
            if !entry.metrics.watch().is_some_and(|watch| watch.is_tripped(trip.arming)) {
                return Suspended::Over;
            }
            let generation = state.generation.clone().filter(|one| one.number() == trip.generation);
            let Some(generation) = generation.filter(|_| state.state == PluginState::Enabled) else {
                return Suspended::NotYet;
            };
            state.state = PluginState::Loaded;
            state.suspensions += 1;
            state.suspension = Some(Suspending {
                arming: trip.arming,
                reason: trip.excess.reason,
                text: trip.excess.text.clone(),
                since_ms,
                until_ms,
            });
            // With the state locked: whoever enables it meanwhile does so after it, and says so after it.
            generation.disable_soon(self.stop_deadline());
            self.publish(&entry, &state, "suspended", Some(trip.generation), |data| {
                data.insert("reason".into(), reason.into());
                data.insert("text".into(), trip.excess.text.as_str().into());
                data.insert("until_ms".into(), until_ms.into());
            });
        }
        let how_long = match cooldown {
            Some(cooldown) => {
                format!(
                    "disabled for {}; `pintle plugins release {}` enables it at once",
                    span(cooldown),
                    entry.id
                )
            }
            None => format!("disabled until it is released: `pintle plugins release {}`", entry.id),
        };
        let fields = [Field::text("of", &entry.id), Field::text("budget", reason)];
        self.core().log.host(Level::Error, &format!("{}: {how_long}", trip.excess.text), fields);
        Suspended::For(cooldown)
    }

    fn release_cooled(&self, ward: &Ward) -> Option<Duration> {
        let entry = self.entry_of(&ward.plugin)?;
        let _step = entry.step.lock();
        let is_its = |suspension: &&mut Suspending| suspension.arming == ward.arming;
        // Perhaps it was unloaded, and nobody has looked since.
        entry.loaded().ok()?;
        entry.state.lock().suspension.as_mut().filter(is_its)?;
        let error = self.enable_loaded(&entry, By::Cooldown).err()?;
        if error.kind() == ErrorKind::Stopping && self.open().is_err() {
            return None;
        }
        let cooldown = self.cooldown(&entry.id)?;
        entry.state.lock().suspension.as_mut().filter(is_its)?.until_ms =
            Some(later(self.wall_ms(), cooldown));
        let text = format!(
            "a suspended plugin has cooled down and could not be enabled, which is tried again in {}: {error}",
            span(cooldown)
        );
        self.core().log.host(Level::Error, &text, [Field::text("of", &entry.id)]);
        Some(cooldown)
    }
}

fn later(ms: i64, by: Duration) -> i64 {
    ms.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

fn time(ms: i64) -> SystemTime {
    let span = Duration::from_millis(ms.unsigned_abs());
    let time = if ms < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    time.unwrap_or(UNIX_EPOCH)
}
