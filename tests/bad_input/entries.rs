//! Libraries that load but whose entry function does not say what it must. Each is refused with its reason, and the
//! plugin beside it works.

use pintle::{ErrorKind, PluginState};

use crate::rig::{Rig, SOON, assert_says, plugin, relay};

#[test]
fn contract_84_an_entry_that_is_not_as_the_contract_says_is_refused() {
    for (variant, parts) in [
        ("ENTRY_NULL", &["its entry returned null: return a static pintle_plugin"][..]),
        ("SIZE_ZERO", &["its entry returned a pintle_plugin of size 0, which must be 64 to 4096", "sizeof"]),
        ("SIZE_HUGE", &["of size 4294967295, which must be 64 to 4096"]),
        ("SIZE_SHORT", &["of size 56, which must be 64 to 4096"]),
        ("ID_DIFFERS", &["its id is \"somebody-else\", its manifest says \"misbehave\": make them equal"]),
        ("ID_NULL", &["argument `id`: the pointer is null, the length is 9"]),
        ("ID_BAD_UTF8", &["argument `id`: not UTF-8 from byte 6 on"]),
        ("VERSION_DIFFERS", &["its version is \"9.9.9\", its manifest says \"0.1.0\""]),
        ("LOAD_NULL", &["its `load` is null, the one function that it must have"]),
    ] {
        let running =
            Rig::of(&plugin("misbehave", &[&format!("-DVARIANT={variant}")])).with(&relay("a")).start();
        let error = running.only_failure();
        assert_says(error, ErrorKind::InvalidArgument, &["plugin \"misbehave\": "]);
        assert_says(error, ErrorKind::InvalidArgument, parts);
        let info = running.info("misbehave");
        assert_eq!(
            (info.state, info.generation, info.stuck),
            (PluginState::Failed, None, false),
            "{variant}"
        );
        assert_eq!(info.error.map(|error| error.to_string()), Some(error.to_string()), "{variant}");
        // It was opened, so it is closed as well.
        assert!(running.wait_closed(SOON), "{variant}");
        running.wait_for_line(&["a library was closed and is gone from memory", "misbehave"]);
        // Again, with the same outcome.
        let again = running.load("misbehave").expect_err("it is as it was");
        assert_eq!(again.to_string(), error.to_string());
        let error = running.ask("misbehave.run", "run", "").expect_err("it is not there");
        assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound), "{error:?}");
        assert_eq!(running.started.enabled, ["a"]);
        assert_eq!(running.ask("a.ping", "ping", "").expect("it works"), "pong");
    }
}

#[test]
fn a_library_without_the_entry_is_skipped_before_its_code_runs() {
    let running = Rig::of(&plugin("misbehave", &["-DVARIANT=ENTRY_MISSING"])).with(&relay("a")).start();
    let error = running.only_skipped();
    assert_says(
        error,
        ErrorKind::InvalidArgument,
        &["does not export pintle_plugin_entry_v1", "PINTLE_EXPORT"],
    );
    assert_eq!(running.started.enabled, ["a"]);
    assert!(running.plugins().iter().all(|info| info.id != "misbehave"));
    let error = running.load("misbehave").expect_err("it is not there");
    assert_says(&error, ErrorKind::NotFound, &["misbehave.so was skipped: ", "does not export"]);
}

/// What the linker cannot find is told by its name, and the loader's refusal is not taken for anything else.
#[test]
fn a_library_with_a_missing_symbol_is_refused_with_the_symbols_name() {
    let code = "#include <pintle/plugin.h>\n\
        PINTLE_MANIFEST({ \"id\": \"needy\", \"version\": \"1.0.0\", \"abi\": \"1.0\" });\n\
        extern const pintle_plugin *nobody_has_this(void);\n\
        static const pintle_bytes kept = PINTLE_MANIFEST_BYTES;\n\
        PINTLE_EXPORT const pintle_plugin *pintle_plugin_entry_v1(void) {\n\
          return kept.len > 0 ? nobody_has_this() : NULL;\n}\n";
    let library = pintle_test_support::compile_c("needy", code, &[]);
    let running = Rig::of(&library).with(&relay("a")).start();
    let parts = &["plugin \"needy\"", "the dynamic loader refused it", "undefined symbol: nobody_has_this"];
    assert_says(running.only_failure(), ErrorKind::InvalidArgument, parts);
    assert_eq!(running.started.enabled, ["a"]);
}
