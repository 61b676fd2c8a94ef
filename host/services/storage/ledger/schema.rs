//! The tables of the storage.
//!
//! An item's row number is its version: so the table lies in the order of versions, a write appends to it, and what has
//! changed after a version is a range of it. An item is found by the index over (scope, key), which alone is read to list
//! keys. Keys are blobs, which SQLite orders by their bytes. The value comes last, so that nobody who asks for something
//! else reads the pages that a large one goes on in.
//!
//! A scope is a row (plugin, tenant) with a number, which is a version too: that of the write that made it, or that
//! cleared it since. To clear a scope is to give it another number.

use crate::services::ledger::Schema;

/// The tables.
pub(crate) const SCHEMA: Schema = Schema { service: "storage", steps: &[FIRST, SECOND] };

/// As it was released: never changed.
pub(super) const FIRST: &str = "
    CREATE TABLE storage_scopes (
        scope INTEGER PRIMARY KEY,
        plugin TEXT NOT NULL,
        tenant TEXT NOT NULL,
        items INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (plugin, tenant)
    ) STRICT;
    CREATE TABLE storage_items (
        item INTEGER PRIMARY KEY,
        scope INTEGER NOT NULL,
        key BLOB NOT NULL,
        version INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        value BLOB NOT NULL,
        UNIQUE (scope, key)
    ) STRICT;
    CREATE TABLE storage_sequence (version INTEGER NOT NULL) STRICT;
    INSERT INTO storage_sequence VALUES (0);
";

/// `storage_scopes.cleared_ms` is there where the scope's number is that of a clear. `storage_removed` has the last removal
/// of a key, also where there is an item again. `storage_cleared` has the numbers whose items are still to be deleted.
/// `storage_scopes.floor`: removals in the scope up to that version may be forgotten. `storage_floor` has one row: no version
/// up to `version` is given again, and removals up to `forgotten` may be forgotten where there is no scope, or was none when
/// it was made. Form 1 remembered no removal, so all of them are.
const SECOND: &str = "
    ALTER TABLE storage_scopes ADD COLUMN cleared_ms INTEGER;
    ALTER TABLE storage_items RENAME TO storage_items_1;
    CREATE TABLE storage_items (
        version INTEGER PRIMARY KEY,
        scope INTEGER NOT NULL,
        key BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        value BLOB NOT NULL,
        UNIQUE (scope, key)
    ) STRICT;
    INSERT INTO storage_items (version, scope, key, created_ms, updated_ms, value)
        SELECT version, scope, key, created_ms, updated_ms, value FROM storage_items_1 ORDER BY version;
    DROP TABLE storage_items_1;
    CREATE INDEX storage_expiring ON storage_items (expires_ms, scope) WHERE expires_ms IS NOT NULL;
    CREATE TABLE storage_removed (
        version INTEGER PRIMARY KEY,
        scope INTEGER NOT NULL,
        key BLOB NOT NULL,
        kind INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        UNIQUE (scope, key)
    ) STRICT;
    CREATE TABLE storage_cleared (scope INTEGER PRIMARY KEY) STRICT;
    ALTER TABLE storage_sequence RENAME TO storage_floor;
    ALTER TABLE storage_floor ADD COLUMN forgotten INTEGER NOT NULL DEFAULT 0;
    UPDATE storage_floor SET forgotten = version;
    ALTER TABLE storage_scopes ADD COLUMN floor INTEGER NOT NULL DEFAULT 0;
    UPDATE storage_scopes SET floor = (SELECT version FROM storage_floor);
";

/// The highest version that the tables know. Whatever deletes the row that has it leaves it in another.
pub(super) const HIGHEST: &str = "
    SELECT max(
        coalesce((SELECT max(version) FROM storage_items), 0),
        coalesce((SELECT max(version) FROM storage_removed), 0),
        coalesce((SELECT max(scope) FROM storage_scopes), 0),
        (SELECT version FROM storage_floor)
    )
";

/// `storage_removed.kind`: somebody removed it.
pub(super) const REMOVED: i64 = 1;
/// `storage_removed.kind`: its time was over.
pub(super) const EXPIRED: i64 = 2;
