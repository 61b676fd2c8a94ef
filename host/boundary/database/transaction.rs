//! A plugin's transaction as an entry of its generation's register: it ends with the context that it was begun under, and at the
//! latest with the generation.

use std::sync::Arc;

use pintle_abi::{PintleCtx, PintleTransaction};

use super::Call;
use crate::{
    error::Result,
    lanes::{Entry, Register},
    services::database::Handle,
};

/// A transaction that a generation has open.
pub(super) struct Open {
    pub(super) handle: Handle,
    /// The context that it was begun under.
    ctx: PintleCtx,
    /// Those that it is nested in, the outermost first.
    around: Vec<PintleTransaction>,
}

impl Entry for Open {
    fn kind(&self) -> &'static str {
        "transaction"
    }

    fn end(&self) {
        self.handle.rollback();
    }
}

/// Keeps a transaction that was just begun, nested in `outer` (0: in none), and gives its handle.
pub(super) fn register(call: &Call, handle: Handle, outer: PintleTransaction) -> Result<PintleTransaction> {
    let register = call.register().inspect_err(|_| handle.rollback())?;
    let mut around = register.find::<Open>(outer).map(|outer| outer.around.clone()).unwrap_or_default();
    if outer != 0 {
        around.push(outer);
    }
    let open = Arc::new(Open { handle: handle.clone(), ctx: call.ctx, around });
    let number = register.add_while_stopping(open).inspect_err(|_| handle.rollback())?;
    let pool = &call.core().pool;
    let worker = match call.scope.worker.checked_sub(1) {
        Some(number) => pool.worker(number),
        // A function such as `enable` runs under the plugin's own context, which outlives it.
        None => pool.running_worker(),
    };
    let ends_with_call = worker.is_some_and(|worker| worker.end_with(call.ctx, &register, number));
    // The call may have ended on another thread meanwhile.
    if call.scope.call && !ends_with_call {
        register.drop_entry(number);
    }
    Ok(number)
}

/// A transaction has ended, those nested in it included.
pub(super) fn forget(call: &Call, tx: PintleTransaction) -> Result<()> {
    let register = call.register()?;
    register.end_where::<Open>(|open| open.around.contains(&tx));
    register.drop_entry(tx);
    Ok(())
}

/// How many outermost ones the plugin has open for the tenant of the call.
pub(super) fn count(call: &Call) -> Result<u32> {
    let register = call.register()?;
    let wanted = |open: &Open| open.handle.is_outermost() && open.handle.tenant() == call.scope.tenant;
    Ok(register.count::<Open>(wanted) as u32)
}

/// Rolls back what was begun under a context that is over.
pub(crate) fn end_of(register: &Register, ctx: PintleCtx) {
    register.end_where::<Open>(|open| open.ctx == ctx);
}
