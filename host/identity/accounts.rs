//! Accounts: where calls are counted that a plugin makes on behalf of one tenant. A context names its account, so that
//! counting a call costs the same whether one tenant is served or a thousand.

use parking_lot::Mutex;

/// How many accounts there are in a process; one is nobody's.
const ACCOUNTS: usize = 4096;

/// Numbers that were given back, and the first that was never taken.
static FREE: Mutex<(Vec<u16>, usize)> = Mutex::new((Vec::new(), 1));

/// One account; given back when dropped.
#[derive(Debug)]
pub(crate) struct Account(u16);

impl Account {
    pub(crate) const COUNT: usize = ACCOUNTS;
    /// What calls are counted on for which there was no account.
    pub(crate) const NOBODY: u16 = 0;

    /// Takes a free account; `None` if all are taken. What was counted on it before stays there.
    pub(crate) fn take() -> Option<Self> {
        let mut free = FREE.lock();
        let (returned, fresh) = &mut *free;
        let number = returned.pop().or_else(|| {
            (*fresh < ACCOUNTS).then(|| {
                *fresh += 1;
                (*fresh - 1) as u16
            })
        })?;
        Some(Self(number))
    }

    pub(crate) fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        FREE.lock().0.push(self.0);
    }
}
