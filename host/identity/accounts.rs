//! Accounts: where calls are counted that a plugin makes on behalf of one tenant. A context names its account, so that
//! counting a call costs the same whether one tenant is served or a thousand.

use parking_lot::Mutex;

/// How many accounts there are in a process; one is nobody's.
const ACCOUNTS: usize = 4096;

/// Those that no tenant gets: for plugins as a whole, so that these are counted however many tenants there are.
const FOR_PLUGINS: usize = 1024;

/// The accounts of this process that nobody has.
static FREE: Mutex<Free> = Mutex::new(Free { returned: Vec::new(), fresh: 1 });

struct Free {
    /// Numbers that were given back.
    returned: Vec<u16>,
    /// The first that was never taken.
    fresh: usize,
}

/// One account; given back when dropped.
#[derive(Debug)]
pub(crate) struct Account(u16);

impl Account {
    pub(crate) const COUNT: usize = ACCOUNTS;
    /// What calls are counted on for which there was no account.
    pub(crate) const NOBODY: u16 = 0;

    /// Takes a free account; `None` if all are taken. What was counted on it before stays there.
    pub(crate) fn take() -> Option<Self> {
        FREE.lock().take(0).map(Self)
    }

    /// The same for a single tenant: `None` also if those that are left are for plugins as a whole.
    pub(crate) fn take_for_tenant() -> Option<Self> {
        FREE.lock().take(FOR_PLUGINS).map(Self)
    }

    pub(crate) fn number(&self) -> u16 {
        self.0
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        FREE.lock().returned.push(self.0);
    }
}

impl Free {
    /// One of them, if more than `left` are left.
    fn take(&mut self, left: usize) -> Option<u16> {
        if self.returned.len() + ACCOUNTS - self.fresh <= left {
            return None;
        }
        self.returned.pop().or_else(|| {
            self.fresh += 1;
            Some((self.fresh - 1) as u16)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_leave_accounts_for_plugins_and_each_is_taken_once() {
        let mut free = Free { returned: Vec::new(), fresh: 1 };
        let mut taken: Vec<u16> = std::iter::from_fn(|| free.take(FOR_PLUGINS)).collect();
        assert_eq!(taken.len(), ACCOUNTS - 1 - FOR_PLUGINS);
        taken.extend(std::iter::from_fn(|| free.take(0)));
        assert_eq!((free.take(FOR_PLUGINS), free.take(0)), (None, None));
        taken.sort_unstable();
        assert!(taken.into_iter().eq(1..ACCOUNTS as u16), "all but that of nobody");
        free.returned.push(7);
        assert_eq!((free.take(1), free.take(0), free.take(0)), (None, Some(7), None));
    }
}
