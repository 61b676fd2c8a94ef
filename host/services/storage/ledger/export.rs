//! All that a plugin has, lent item by item as it is at one moment.

use rusqlite::params;

use crate::{
    error::Result,
    services::{
        keys::Key,
        ledger::Ledger,
        storage::{Carried, Info},
    },
};

/// One transaction of a reader: what is written meanwhile is not seen, and nobody waits.
pub(super) fn export(
    ledger: &Ledger,
    plugin: &str,
    tenant: Option<&str>,
    now: i64,
    each: &mut dyn FnMut(Carried<'_>) -> Result<()>,
) -> Result<()> {
    ledger.read(|ledger| {
        let moment = ledger.unchecked_transaction()?;
        let scopes = moment
            .prepare_cached(
                "SELECT tenant, scope FROM storage_scopes
                WHERE plugin = ?1 AND (?2 IS NULL OR tenant = ?2) ORDER BY tenant",
            )?
            .query_map(params![plugin, tenant], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(String, i64)>>>()?;
        let mut items = moment.prepare_cached(
            "SELECT key, value, version, created_ms, updated_ms, expires_ms
            FROM storage_items INDEXED BY sqlite_autoindex_storage_items_1
            WHERE scope = ?1 AND (expires_ms IS NULL OR expires_ms > ?2) ORDER BY key",
        )?;
        for (tenant, scope) in &scopes {
            let mut rows = items.query(params![scope, now])?;
            while let Some(row) = rows.next()? {
                let bytes = |column| -> rusqlite::Result<&[u8]> { Ok(row.get_ref(column)?.as_blob()?) };
                let key = Key::parse("key", bytes(0)?)?;
                let info = Info {
                    version: row.get(2)?,
                    created_ms: row.get(3)?,
                    updated_ms: row.get(4)?,
                    expires_ms: row.get(5)?,
                };
                each(Carried { tenant, key, value: bytes(1)?, info })?;
            }
        }
        Ok(())
    })
}
