//! What only this log can show.
