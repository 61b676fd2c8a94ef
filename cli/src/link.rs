//! The host that a command asks: one that runs on the data folder, by its control socket, or else, where that makes
//! sense, one that is made for the question on the folder itself and runs no plugin.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use pintle::{
    Error, ErrorKind, Host, Settings,
    control::{Client, Notification},
    log,
    settings::CacheBackend,
};
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Failure},
    folder::{self, Place},
};

/// The file that whoever has a data folder has locked.
const LOCK: &str = "pintle.lock";

/// How long to wait for a host that has the folder and serves no socket yet, and for another command to be done with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait before looking again.
const LOOK: Duration = Duration::from_millis(20);

/// A host that can be asked.
pub(crate) struct Link {
    to: To,
    pub(crate) folder: PathBuf,
    pub(crate) settings: Settings,
}

enum To {
    /// One that runs.
    Running(Box<Client>),
    /// One that is made for the question.
    Made(Host),
}

/// What is looked at where no host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    Nothing,
    /// The plugin folders, the settings, and the storage.
    WhatIsStored,
    /// The cache.
    WhatIsCached,
}

/// Who has a data folder, where no host there can be asked.
enum Holder {
    /// Nobody, and it has been used before.
    Nobody,
    /// No host has ever run on it.
    Never,
    /// The process, if its number can be read.
    Process(Option<String>),
}

impl Link {
    /// To the running host, or to the folder itself.
    pub(crate) fn open(place: &Place) -> Result<Self, Failure> {
        Self::find(place, Without::WhatIsStored)
    }

    /// To the running host, or to the folder itself with the cache that lies in it.
    pub(crate) fn with_cache(place: &Place) -> Result<Self, Failure> {
        Self::find(place, Without::WhatIsCached)
    }

    /// To the running host.
    pub(crate) fn running(place: &Place) -> Result<Self, Failure> {
        Self::find(place, Without::Nothing)
    }

    fn find(place: &Place, without: Without) -> Result<Self, Failure> {
        let settings = place.read()?;
        let folder = match &settings.data {
            Some(folder) => folder.clone(),
            None => folder::usual()?,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(client) = Client::connect(&folder).map_err(Failure::failed)? {
                return Ok(Self { to: To::Running(Box::new(client)), folder, settings });
            }
            let held = match holder(&folder)? {
                Holder::Never => return Err(nobody(&folder, "none ever has")),
                Holder::Nobody if without == Without::Nothing => return Err(nobody(&folder, "")),
                Holder::Nobody
                    if without == Without::WhatIsCached && settings.cache.backend == CacheBackend::Memory =>
                {
                    return Err(nobody(&folder, "what it had in its cache was in memory alone"));
                }
                Holder::Nobody => match made(&folder, &settings, without) {
                    Ok(host) => return Ok(Self { to: To::Made(host), folder, settings }),
                    Err(error) if error.kind() == ErrorKind::Conflict => None,
                    Err(error) => return Err(Failure::failed(error)),
                },
                Holder::Process(pid) => pid,
            };
            if Instant::now() >= deadline {
                return Err(silent(&folder, held.as_deref()));
            }
            thread::sleep(LOOK);
        }
    }

    /// No plugin runs: what is told comes from the folders and the settings.
    pub(crate) fn is_made(&self) -> bool {
        matches!(self.to, To::Made(_))
    }

    /// The host that was made.
    pub(crate) fn made(&self) -> Option<&Host> {
        match &self.to {
            To::Made(host) => Some(host),
            To::Running(_) => None,
        }
    }

    /// Asks for one thing.
    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        self.try_ask(method, params).map_err(|error| self.failure(method, &error))
    }

    /// The same, for those who make something of errors.
    pub(crate) fn try_ask(&mut self, method: &str, params: Value) -> Result<Value, Error> {
        match &mut self.to {
            To::Running(client) => client.call(method, params),
            To::Made(host) => host.ask(method, params),
        }
    }

    /// Whether the host knows of a plugin, loaded or not.
    pub(crate) fn knows(&mut self, id: &str) -> Result<bool, Error> {
        let answer = self.try_ask("plugins", json!({ "available": true }))?;
        Ok(answer["plugins"].as_array().is_some_and(|all| all.iter().any(|plugin| plugin["id"] == id)))
    }

    /// What an error of the host is to the command.
    pub(crate) fn failure(&mut self, method: &str, error: &Error) -> Failure {
        // Plugins answer NOT_FOUND too, of what they have looked for.
        if error.kind() == ErrorKind::NotFound
            && !error.plugin().is_some_and(|id| self.knows(id).unwrap_or(true))
        {
            return Failure { exit: Exit::NoPlugin, text: format!("{error}: `pintle plugins` shows all") };
        }
        match (error.kind(), &self.to) {
            (ErrorKind::Unsupported, To::Running(client)) => Failure::failed(format!(
                "the host of process {} does not know {method:?}: it is Pintle {}, this command is of {}: start it anew with \
                 the same",
                client.pid(),
                client.pintle(),
                env!("CARGO_PKG_VERSION"),
            )),
            _ => Failure::failed(error),
        }
    }

    /// What to say of a host that does not answer.
    pub(crate) fn slow(&self) -> impl Fn(Duration) -> String + use<> {
        let pid = match &self.to {
            To::Running(client) => client.pid(),
            To::Made(_) => u64::from(std::process::id()),
        };
        move |time| {
            format!(
                "the host of process {pid} has not answered for {time:?}: look whether it was halted, and in its log"
            )
        }
    }

    /// The next that a running host tells; None if nothing came within `patience`. `Err`: it tells no more, and why.
    pub(crate) fn next(&mut self, patience: Duration) -> Result<Option<Notification>, Ended> {
        let To::Running(client) = &mut self.to else { return Err(Ended::Cut("there is no host".into())) };
        client.set_timeout(Some(patience));
        match client.next() {
            Ok(Some(told)) => Ok(Some(told)),
            Ok(None) => Err(match client.bye() {
                Some(why) => Ended::Bye(why.to_owned()),
                None => Ended::Cut("it does not run any more, or has cut it off".into()),
            }),
            Err(error) if error.kind() == ErrorKind::Timeout => Ok(None),
            Err(error) => Err(Ended::Cut(error.to_string())),
        }
    }
}

/// Why a host tells no more.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It has said why.
    Bye(String),
    /// It is gone, or what comes is not of a host.
    Cut(String),
}

/// A host on the folder, without anything that a running one has to do.
fn made(folder: &Path, settings: &Settings, without: Without) -> Result<Host, Error> {
    let mut settings = settings.clone();
    if without != Without::WhatIsCached {
        // A file of the cache that is no good is set aside by whoever opens it, who should be one that says so.
        settings.cache.backend = CacheBackend::Memory;
    }
    settings.data = Some(folder.to_owned());
    settings.control.enabled = false;
    settings.metrics.listen = None;
    settings.workers = Some(1);
    // Nobody has asked for its log.
    let log = log::Options { target: log::Target::Writer(Box::new(io::sink())), ..log::Options::default() };
    Host::builder().settings(settings).log(log).build()
}

/// Who has the folder. It makes nothing.
fn holder(folder: &Path) -> Result<Holder, Failure> {
    let path = folder.join(LOCK);
    let unreadable =
        |error: io::Error| Failure::failed(format!("{} cannot be looked at: {error}", path.display()));
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Holder::Never);
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let text =
                format!("{} is another user's: {error}: run this as the user of the host", path.display());
            return Err(Failure::failed(text));
        }
        Err(error) => return Err(unreadable(error)),
    };
    // Shared: two that only look do not take each other for a host.
    match file.try_lock_shared() {
        Ok(()) => Ok(Holder::Nobody),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            io::Read::read_to_string(&mut file, &mut pid).map_err(unreadable)?;
            let pid = pid.trim();
            Ok(Holder::Process((!pid.is_empty()).then(|| pid.to_owned())))
        }
        Err(TryLockError::Error(error)) => Err(unreadable(error)),
    }
}

fn nobody(folder: &Path, more: &str) -> Failure {
    let folder = folder.display();
    let more = if more.is_empty() { String::new() } else { format!(", and {more}") };
    let text = format!("no host runs on {folder}{more}: start one with `pintle run --data {folder}`");
    Failure { exit: Exit::NoHost, text }
}

fn silent(folder: &Path, pid: Option<&str>) -> Failure {
    let (folder, who) =
        (folder.display(), pid.map_or("another process".into(), |pid| format!("process {pid}")));
    let text = format!(
        "{folder} is in use by {who}, which serves no control socket there: start that host with `control.enabled = true` \
         in its settings, and see in its log whether the socket could be made"
    );
    Failure { exit: Exit::NoHost, text }
}
